"""The database of a workspace: SQLite in WAL mode, or PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, Final

import sqlalchemy
from sqlalchemy import Connection, Engine, event

from calotype.workspace import tables

BUSY_TIMEOUT_MS: Final = 30_000


class Database:
    """Connections to one database.

    Args:
        url: SQLAlchemy URL; `sqlite:///…` or `postgresql://…`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = _engine(url)

    @contextlib.contextmanager
    def reading(self) -> Generator[Connection]:
        """Give a connection that sees one state of the database."""
        with self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Generator[Connection]:
        """Give a transaction that is the only writer; committed at the end, or undone whole."""
        with self._engine.execution_options(writes=True).begin() as connection:
            yield connection

    def migrate(self) -> None:
        """Bring the tables to what this version needs."""
        tables.metadata.create_all(self._engine)

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return sqlalchemy.create_engine(url, pool_pre_ping=True)
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})

    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA synchronous=FULL")  # what was registered survives a power failure
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.close()

    def begun(connection: Connection) -> None:
        # A transaction that reads first and writes later would fail at once beside another writer.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine
