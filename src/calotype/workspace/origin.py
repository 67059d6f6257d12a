"""When, by whom and where something is written down."""

from __future__ import annotations

import getpass
import socket
from datetime import UTC, datetime


def now() -> datetime:
    """Return the time for a record."""
    return datetime.now(UTC)


def user() -> str:
    """Return who is at work, for `created_by` and the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"


def machine() -> str:
    """Return the name of this machine, which runs the services that were deployed on it."""
    return socket.gethostname()


def aware(moment: datetime) -> datetime:
    """Return a time of the database with its zone, which SQLite does not keep."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
