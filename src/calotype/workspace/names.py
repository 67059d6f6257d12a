"""Names of what is registered, for the completion of commands: read without loading SQLAlchemy."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Final, Literal
from urllib.parse import quote

from calotype import errors
from calotype.workspace.location import Location, find

Kind = Literal["services", "models", "datasets"]

_SQLITE: Final = "sqlite:///"


def registered_names(kind: Kind, *, workspace: str | None = None) -> list[str]:
    """Return the names of the services, models or datasets of a workspace; none when in doubt.

    Args:
        kind: of what.
        workspace: as `-w` has it.
    """
    try:
        database = Location.read(find(workspace)).database
    except (errors.CalotypeError, OSError):
        return []
    if not database.startswith(_SQLITE):
        return _over_the_network(kind, workspace)
    path = quote(database.removeprefix(_SQLITE))
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            # `kind` is one of three words of ours.
            rows = connection.execute(f"SELECT DISTINCT name FROM {kind} ORDER BY name")  # noqa: S608
            return [str(name) for (name,) in rows]
    except sqlite3.Error:  # older tables, or a damaged file: commands will tell
        return []


def _over_the_network(kind: Kind, workspace: str | None) -> list[str]:
    from calotype.workspace.opening import open_workspace

    with (
        contextlib.suppress(errors.CalotypeError),
        contextlib.closing(open_workspace(workspace)) as opened,
    ):
        listed = getattr(opened, kind).list()
        return sorted({item.name for item in listed})
    return []
