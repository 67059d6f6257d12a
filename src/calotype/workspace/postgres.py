"""How PostgreSQL is used: one writer at a time, readers that see one state."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ArgumentError

ONE_STATE: Final[dict[str, Any]] = {
    "isolation_level": "REPEATABLE READ",
    "postgresql_readonly": True,
}
_WRITER: Final = 0x63616C6F  # a number that other programs on the same database do not use
# A network that swallows what is sent must not hold up a keeper, or a caller, for ever.
_PATIENCE: Final = {
    "connect_timeout": 10,  # seconds, as the following two
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}
_MOST_THREADS: Final = 30


def engine(url: str) -> Engine:
    """Return connections to a server.

    Args:
        url: `postgresql://user@host/database`, with whatever libpq knows after `?`.
    """
    parsed = sqlalchemy.make_url(url)
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ValueError(parsed.get_backend_name())
    return sqlalchemy.create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,  # the server may have been restarted
        max_overflow=_MOST_THREADS,
        connect_args={name: _PATIENCE[name] for name in _PATIENCE.keys() - parsed.query.keys()},
    )


def become_only_writer(connection: Connection, timeout_ms: int) -> None:
    """Wait until no other transaction of this kind is under way; held until this one ends."""
    limit = sqlalchemy.func.set_config("lock_timeout", str(timeout_ms), True)
    connection.execute(sqlalchemy.select(limit))
    connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_xact_lock(_WRITER)))


def has_password(url: str) -> bool:
    """Whether a URL has a password in it, in either of the two places."""
    try:
        parsed = sqlalchemy.make_url(url)
    except ArgumentError:
        return False
    return bool(parsed.password) or any("password" in name for name in parsed.query)


def shown(url: str) -> str:
    """Return a URL without its password."""
    parsed = sqlalchemy.make_url(url)
    hidden = {name: value for name, value in parsed.query.items() if "password" not in name}
    return parsed.set(query=hidden).render_as_string(hide_password=True)
