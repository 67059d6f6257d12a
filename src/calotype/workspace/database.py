"""The database of a workspace: SQLite in WAL mode, or PostgreSQL."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Generator
from typing import Final

import sqlalchemy
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from calotype import errors
from calotype.workspace import database_errors, postgres, sqlite, tables
from calotype.workspace.migrations import NEWEST, REVISIONS, VERSION_TABLE

BUSY_TIMEOUT_MS: Final = 30_000
_PAUSE_S: Final = 0.05


class Database:
    """Connections to one database. Safe to use from several threads.

    Args:
        url: SQLAlchemy URL; `sqlite:///…` or `postgresql://…`.
        make: whether a missing SQLite file may be made.
        busy_timeout_ms: how long a writer waits for another.

    Raises:
        NotSupported: another kind of database.
        MissingDependency: its driver is not installed.
    """

    def __init__(
        self, url: str, *, make: bool = False, busy_timeout_ms: int = BUSY_TIMEOUT_MS
    ) -> None:
        self.url = url
        self._busy_timeout_ms = busy_timeout_ms
        self._open_engine = functools.partial(
            _engine, url, make=make, busy_timeout_ms=busy_timeout_ms
        )
        self._engines = {os.getpid(): self._open_engine()}
        self._is_writing = threading.local()

    @property
    def _engine(self) -> Engine:
        """The connections of this process: those of the one that it was forked from are not ours.

        They stay open, untouched: to close them would end what the other process does with them.
        """
        found = self._engines.get(os.getpid())
        if found is None:
            found = self._engines[os.getpid()] = self._open_engine()
        return found

    @property
    def shown(self) -> str:
        """Where it is, for messages: never with a password."""
        return sqlite.path_of(self.url) if _is_sqlite(self.url) else postgres.shown(self.url)

    @contextlib.contextmanager
    def reading(self) -> Generator[Connection]:
        """Give a connection that sees one state of the database.

        Raises:
            CorruptWorkspace: the database is damaged.
            OperationFailed: it cannot be reached.
        """
        engine = self._engine
        if not _is_sqlite(self.url):
            engine = engine.execution_options(**postgres.ONE_STATE)
        with self._translated(), self._connected(engine) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Generator[Connection]:
        """Give a transaction that is the only writer; committed at the end, or undone whole.

        As there is one writer at a time, in all processes, what it reads stays true until it ends,
        and no transaction fails for having met another. It must not be nested.

        Raises:
            CannotWrite: the disk is full or read-only.
            Busy: another process has been writing all the time.
            CorruptWorkspace, OperationFailed: as for `reading`.
        """
        with self._alone(self._engine.execution_options(writes=True)) as connection:
            yield connection

    @property
    def revision(self) -> str | None:
        """The revision of its tables; None when there are none."""
        with self.reading() as connection:
            return _revision(connection)

    def open(self) -> None:
        """Check that this version can use the database; bring older tables up to date.

        Raises:
            CorruptWorkspace: it is empty, damaged, or of a newer version.
        """
        revision = self.revision
        if revision is None:
            raise errors.CorruptWorkspace(
                "expected the tables of a workspace",
                where=self.shown,
                got="none",
                action="Restore the database from a copy.",
            )
        if self._check_known(revision) != NEWEST:
            self.migrate()

    def migrate(self, *, to: str = NEWEST) -> None:
        """Bring the tables to what this version needs; another process may do the same.

        Raises:
            CorruptWorkspace: they are of a newer version.
        """
        revision = self.revision
        if revision is not None and REVISIONS.index(self._check_known(revision)) >= _place(to):
            return
        from calotype.workspace.migrations.upgrade import upgrade

        options = {"writes": True, "copies_tables": True}
        with self._alone(self._engine.execution_options(**options)) as connection:
            self._refuse_others(connection)
            upgrade(connection, to=to)
        self._engine.dispose()  # the connection that copied tables has foreign keys switched off

    def problems(self) -> list[str]:
        """Return what is wrong inside the database file, in sentences."""
        if not _is_sqlite(self.url):
            return []  # PostgreSQL checks its own pages
        with self.reading() as connection:
            return sqlite.problems(connection)

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _alone(self, engine: Engine) -> Generator[Connection]:
        assert not getattr(self._is_writing, "now", False), "a writer would wait for itself"
        with self._translated(), self._connected(engine) as connection:
            self._is_writing.now = True
            try:
                yield connection
                connection.commit()
            finally:
                self._is_writing.now = False

    @contextlib.contextmanager
    def _connected(self, engine: Engine) -> Generator[Connection]:
        """Give a connection inside a transaction; one that cannot begin yet is tried again."""
        until_s = time.monotonic() + self._busy_timeout_ms / 1000
        while True:
            with contextlib.ExitStack() as stack:
                try:
                    connection = stack.enter_context(engine.connect())
                    connection.begin()
                    if not _is_sqlite(self.url) and engine.get_execution_options().get("writes"):
                        postgres.become_only_writer(connection, self._busy_timeout_ms)
                except OperationalError as error:
                    if not database_errors.passes_soon(error) or time.monotonic() > until_s:
                        raise
                else:
                    yield connection
                    return
            time.sleep(_PAUSE_S)

    @contextlib.contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except DBAPIError as error:
            ours = database_errors.translated(error, where=self.shown)
            if ours is None:
                raise
            raise ours from error

    def _refuse_others(self, connection: Connection) -> None:
        taken = set(sqlalchemy.inspect(connection).get_table_names()) & set(tables.metadata.tables)
        if taken and _revision(connection) is None:
            raise errors.AlreadyExists(
                "expected a database without tables of another program",
                where=self.shown,
                got=", ".join(sorted(taken)),
                action="Use a database of its own.",
            )

    def _check_known(self, revision: str) -> str:
        if revision in REVISIONS:
            return revision
        raise errors.CorruptWorkspace(
            f"expected tables of revision {NEWEST} or older",
            where=self.shown,
            got=f"revision {revision}, which a newer Calotype made",
            action="Install the newer Calotype: pip install --upgrade calotype.",
        )


def _engine(url: str, *, make: bool, busy_timeout_ms: int) -> Engine:
    if _is_sqlite(url):
        return sqlite.engine(sqlite.path_of(url), make=make, busy_timeout_ms=busy_timeout_ms)
    try:
        return postgres.engine(url)
    except (NoSuchModuleError, ValueError, ArgumentError) as error:
        raise errors.NotSupported(
            "expected the URL of a database, postgresql://…",
            got=f"{url.partition(':')[0]}:…",
            action="Leave it out for a SQLite file in the workspace's folder.",
        ) from error
    except ImportError as error:
        raise errors.MissingDependency(
            "expected the driver of PostgreSQL",
            got=str(error),
            action="pip install 'calotype[postgres]'",
        ) from error


def _is_sqlite(url: str) -> bool:
    return url.startswith("sqlite:")


def _place(revision: str) -> int:
    return REVISIONS.index(revision)


def _revision(connection: Connection) -> str | None:
    if not sqlalchemy.inspect(connection).has_table(VERSION_TABLE):
        return None
    query = sqlalchemy.text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - our own name
    return connection.execute(query).scalar_one_or_none()
