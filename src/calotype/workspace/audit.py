"""Who changed what in a workspace, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy

from calotype.workspace import tables
from calotype.workspace.services import aware, now, user

if TYPE_CHECKING:
    from calotype.workspace.database import Database


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change.

    Attributes:
        at: when it was done.
        who: the user of the machine.
        action: such as `service.regenerate_key`.
        subject: what was changed, such as the name of a service.
        details: more about it; never a secret.
    """

    at: datetime
    who: str
    action: str
    subject: str
    details: dict[str, Any]


class AuditLog:
    """The changes of a workspace; entries are added and never changed.

    Args:
        database: of the workspace.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, action: str, subject: str, **details: Any) -> None:
        """Add an entry of this user, now.

        Args:
            action: such as `service.regenerate_key`.
            subject: what was changed.
            details: values for JSON; never a secret.
        """
        with self._database.writing() as connection:
            connection.execute(
                sqlalchemy.insert(tables.audit).values(
                    at=now(), who=user(), action=action, subject=subject, details=details
                )
            )

    def list(self, subject: str | None = None, limit: int = 100) -> list[AuditEntry]:
        """Return the last entries, newest first.

        Args:
            subject: of this only.
            limit: how many at most.
        """
        key = tables.audit.c
        query = sqlalchemy.select(tables.audit).order_by(key.id.desc()).limit(limit)
        if subject is not None:
            query = query.where(key.subject == subject)
        with self._database.reading() as connection:
            return [
                AuditEntry(
                    aware(row["at"]), row["who"], row["action"], row["subject"], row["details"]
                )
                for row in connection.execute(query).mappings()
            ]
