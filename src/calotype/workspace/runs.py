"""What was run in a workspace: batch jobs, and whatever else has a beginning and an end."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import RowMapping

from calotype import errors
from calotype.workspace import tables
from calotype.workspace.services import aware, machine, now, user

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace


def new_id() -> str:
    """Return a name for a run that no other has."""
    return uuid.uuid4().hex[:16]


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes:
        id: its name.
        kind: such as `batch`.
        subject: the service or pipeline that it is of.
        state: where it stands; its kind knows the words.
        inputs, outputs, progress: values for JSON; their shape is the kind's.
        error: why it failed.
        host: the machine that runs it.
        updated_at: the last sign of life: every `RunRecords.change` renews it.
    """

    kind: str
    subject: str
    state: str
    id: str = field(default_factory=new_id)
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])
    progress: dict[str, Any] = field(default_factory=dict[str, Any])
    error: dict[str, Any] | None = None
    host: str = field(default_factory=machine)
    started_at: datetime | None = None
    ended_at: datetime | None = None
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    properties: dict[str, str] = field(default_factory=dict[str, str])
    created_at: datetime = field(default_factory=now)
    created_by: str = field(default_factory=user)
    updated_at: datetime = field(default_factory=now)


_NAMES = tuple(item.name for item in dataclasses.fields(Run))
_TIMES = ("started_at", "ended_at", "created_at", "updated_at")


class RunRecords:
    """The runs of a workspace.

    Args:
        workspace: whose.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._database = workspace.database

    def add(self, run: Run) -> Run:
        """Register a run and return it.

        Raises:
            AlreadyExists: its id is taken.
        """
        with self._database.writing() as connection:
            taken = sqlalchemy.select(tables.runs.c.id).where(tables.runs.c.id == run.id)
            if connection.execute(taken).first() is not None:
                raise errors.AlreadyExists(
                    "expected an id that no run has", where=f"run '{run.id}'", got="one of that id"
                )
            values = {name: getattr(run, name) for name in _NAMES}
            connection.execute(sqlalchemy.insert(tables.runs).values(**values))
        return run

    def get(self, id: str) -> Run:
        """Return one.

        Raises:
            NotFound: there is none of that id.
        """
        with self._database.reading() as connection:
            query = sqlalchemy.select(tables.runs).where(tables.runs.c.id == id)
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise _absent(id)
        return _run(row)

    def list(
        self, subject: str | None = None, kind: str | None = None, state: str | None = None
    ) -> list[Run]:
        """Return runs, newest first: all, or those of a subject, of a kind, in a state."""
        key = tables.runs.c
        query = sqlalchemy.select(tables.runs).order_by(key.created_at.desc(), key.id)
        for column, wanted in ((key.subject, subject), (key.kind, kind), (key.state, state)):
            if wanted is not None:
                query = query.where(column == wanted)
        with self._database.reading() as connection:
            return [_run(row) for row in connection.execute(query).mappings()]

    def change(self, id: str, *, only_in: Collection[str] = (), **values: Any) -> bool:
        """Change columns of a run.

        Args:
            id: of the run.
            only_in: nothing happens unless it is in one of these states; so two that end a run at
                once, or begin it, agree on who was first.
            values: state, progress, outputs, error, started_at, ended_at…

        Returns:
            Whether it was changed.

        Raises:
            NotFound: there is none of that id.
        """
        key = tables.runs.c
        with self._database.writing() as connection:
            update = sqlalchemy.update(tables.runs).where(key.id == id)
            if only_in:
                update = update.where(key.state.in_(only_in))
            if connection.execute(update.values(**{"updated_at": now(), **values})).rowcount:
                return True
            known = sqlalchemy.select(key.id).where(key.id == id)
            if connection.execute(known).first() is None:
                raise _absent(id)
            return False

    def delete(self, id: str) -> bool:
        """Forget a run; return whether there was one."""
        with self._database.writing() as connection:
            gone = connection.execute(sqlalchemy.delete(tables.runs).where(tables.runs.c.id == id))
            return gone.rowcount > 0


def _run(row: RowMapping) -> Run:
    values: dict[str, Any] = {name: row[name] for name in _NAMES}
    for name in _TIMES:
        values[name] = aware(values[name]) if values[name] is not None else None
    return Run(**values)


def _absent(id: str) -> errors.NotFound:
    return errors.NotFound(f"expected a run '{id}'", where="this workspace", got="none of that id")
