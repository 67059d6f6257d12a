"""Which machines look after their services now: the keeper of each gives a sign of life.

All times are by the clock of the database: those of the machines may be apart.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy
from sqlalchemy import Connection

from calotype.workspace import tables
from calotype.workspace.machine import identity, is_here
from calotype.workspace.origin import aware

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

SIGN_EVERY_S: Final = 2.0
AWAY_AFTER_S: Final = 8.0
_FACT: Final = "machines"


class Presence:
    """Who looks after the services of a workspace.

    Args:
        workspace: whose.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._place = workspace.place
        self._database = workspace.database

    def sign(self) -> None:
        """Say that this machine looks after its services."""
        with self._database.writing() as connection:
            signs = {**_signs(connection), identity(self._place): _now(connection).isoformat()}
            key = tables.facts.c.name
            connection.execute(sqlalchemy.delete(tables.facts).where(key == _FACT))
            connection.execute(sqlalchemy.insert(tables.facts).values(name=_FACT, value=signs))

    def last_sign(self, host: str) -> datetime | None:
        """Return when the machine of a record's `host` gave its last sign; None: it never did."""
        with self._database.reading() as connection:
            said = _signs(connection).get(host)
        return datetime.fromisoformat(said) if said else None

    def is_away(self, host: str) -> bool:
        """Whether nobody looks after the services of another machine now."""
        if is_here(self._place, host):
            return False
        with self._database.reading() as connection:
            said = _signs(connection).get(host)
            if said is None:
                return True
            age_s = (_now(connection) - datetime.fromisoformat(said)).total_seconds()
        return age_s > AWAY_AFTER_S


def _signs(connection: Connection) -> dict[str, str]:
    query = sqlalchemy.select(tables.facts.c.value).where(tables.facts.c.name == _FACT)
    found: Any = connection.execute(query).scalar_one_or_none()
    return dict(found or {})


def _now(connection: Connection) -> datetime:
    return aware(connection.execute(sqlalchemy.select(sqlalchemy.func.now())).scalar_one())
