"""What the errors of SQLite and PostgreSQL mean to whoever runs a command."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from calotype import errors

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_UNWRITABLE: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM}
)
# PostgreSQL: the server is starting or stopping; it was stopped while we were connected.
_STARTING: Final = ("57P01", "57P02", "57P03")


def passes_soon(error: OperationalError) -> bool:
    """Return whether a transaction that could not begin may begin in a moment."""
    code = _sqlite_code(error)
    if code is not None:
        return code in _BUSY
    text = str(error.orig)
    return _state(error) in _STARTING or "the database system is" in text


def translated(error: DBAPIError, *, where: str) -> errors.CalotypeError | None:
    """Return the error of ours, or None: a defect of ours, whose trace must be seen."""
    code = _sqlite_code(error)
    if code is None:
        return _of_postgres(error, where)
    reason = str(error.orig)
    if code in _BUSY:
        return _busy(where)
    if code in _DAMAGED:
        return _damaged(where, reason)
    if code == sqlite3.SQLITE_CANTOPEN:
        return _damaged(where, "none that can be opened")
    if code in _UNWRITABLE:
        return errors.CannotWrite(
            "expected a database that can be written to",
            where=where,
            got=reason,
            action="Free disk space, or make the folder writable.",
        )
    return None


def _of_postgres(error: DBAPIError, where: str) -> errors.CalotypeError | None:
    state = _state(error) or ""
    if state == "55P03":
        return _busy(where)
    if state.startswith("53"):  # disk full, out of memory, too many connections
        return errors.CannotWrite(
            "expected a database server with room", where=where, got=_reason(error)
        )
    if state in ("25006", "42501"):
        return errors.CannotWrite(
            "expected a database that this user may write to", where=where, got=_reason(error)
        )
    if isinstance(error, OperationalError | InterfaceError):
        return errors.OperationFailed(
            "expected a database server that answers",
            where=where,
            got=_reason(error),
            action="Check that it runs, and its address, user and password.",
        )
    return None


def _busy(where: str) -> errors.Busy:
    return errors.Busy(
        "expected to become the only writer",
        where=where,
        got="another process that has been writing all the time",
        action="Try again; `calotype status` shows what runs.",
    )


def _damaged(where: str, reason: str) -> errors.CorruptWorkspace:
    return errors.CorruptWorkspace(
        "expected the database of a workspace",
        where=where,
        got=reason,
        action="Restore the file from a copy.",
    )


def _sqlite_code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _state(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _reason(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]
