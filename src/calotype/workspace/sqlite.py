"""How a SQLite file is opened: many readers beside one writer, safe from power failures."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

import sqlalchemy
from sqlalchemy import Connection, Engine, QueuePool, event

_PREFIX: Final = "sqlite:///"


def url_of(path: Path) -> str:
    """Return the URL of a database file."""
    return _PREFIX + quote(str(path))


def path_of(url: str) -> str:
    """Return the file that a URL means."""
    return unquote(url.removeprefix(_PREFIX).partition("?")[0])


def engine(path: str, *, make: bool, busy_timeout_ms: int) -> Engine:
    """Return connections to a file.

    A file in a folder that cannot be written to can still be read.

    Args:
        path: of the file.
        make: whether a missing file may be made.
        busy_timeout_ms: how long a writer waits for another.
    """

    def connect() -> sqlite3.Connection:
        if make:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):  # its log gets the same mode from SQLite
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        mode = "rwc" if make else _mode(Path(path))
        connection = sqlite3.connect(
            f"{Path(path).absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=busy_timeout_ms / 1000,
            isolation_level=None,  # we say BEGIN ourselves
            check_same_thread=False,  # the pool lends a connection to one thread at a time
        )
        if mode.startswith("rw"):
            _become_wal(connection, within_s=busy_timeout_ms / 1000)
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")  # what was registered survives power failures
        return connection

    made = sqlalchemy.create_engine(
        "sqlite://", creator=connect, poolclass=QueuePool, max_overflow=-1
    )
    event.listen(made, "begin", _begin)
    return made


def problems(connection: Connection) -> list[str]:
    """Return what is wrong inside the file."""
    pages = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    rows = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    return [f"{text}." for text in pages if text != "ok"] + [
        f"A row of '{row[0]}' belongs to none of '{row[2]}'." for row in rows
    ]


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("copies_tables"):
        # Altering means to copy and to drop, which would take dependent rows along.
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    # A transaction that reads first and writes later would fail at once beside another writer.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")


def _mode(path: Path) -> str:
    if not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return "rw"
    log = path.with_name(f"{path.name}-wal")
    # Without a log nobody writes, and SQLite would try to make one.
    return "ro" if log.exists() and log.stat().st_size else "ro&immutable=1"


def _become_wal(connection: sqlite3.Connection, *, within_s: float) -> None:
    until_s = time.monotonic() + within_s
    while True:
        try:
            found: Any = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError:  # the file is being made: no timeout applies here
            if time.monotonic() > until_s:
                raise
            time.sleep(0.02)
        else:
            assert found
            return
