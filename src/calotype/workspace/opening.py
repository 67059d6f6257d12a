"""Opens the workspace that a command means, and makes the user's own when that is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from calotype import errors
from calotype.workspace import location
from calotype.workspace.location import Location
from calotype.workspace.workspace import Workspace

USERS_OWN: Final = "default"


def open_workspace(given: str | None = None, *, make: bool = False) -> Workspace:
    """Return the workspace that a command means.

    Args:
        given: a folder, or the URL of a database that has a workspace; as `location.find` reads
            it when left out.
        make: make the one in the user's data folder when nothing else was named or found.

    Raises:
        NotFound: there is none.
        CorruptWorkspace: it cannot be read.
    """
    said = given or os.environ.get(location.VARIABLE, "")
    folder = location.find(said)
    try:
        return Workspace(Location.read(folder))
    except errors.NotFound:
        if location.is_database(said):
            return Workspace.join(said, folder)
        if said or folder != location.users_folder():
            raise
        if not make:
            raise errors.NotFound(
                "expected a workspace",
                where=f"no {location.FOLDER} at or above {Path.cwd()}",
                got="none",
                action="Make one with `calotype workspace create NAME`, or name one with -w.",
            ) from None
    return Workspace.create(USERS_OWN, folder, exist_ok=True)
