"""Which machine a workspace's folder is on: services and jobs belong to the machine that runs them.

Names of machines change, and two may have the same, so each folder gets a name of its own once.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from pathlib import Path
from typing import Final

from calotype import errors
from calotype.workspace.location import Location

_MARK: Final = "~"  # in no name of a machine
_MOST: Final = 200


def identity(place: Location) -> str:
    """Return what records say of this machine; made when it is first asked for.

    Raises:
        CorruptWorkspace: its file cannot be read.
    """
    path = place.root / "machine.json"
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    fresh = path.with_name(f".machine-{secrets.token_hex(4)}.json")
    name = f"{socket.gethostname()[:_MOST]}{_MARK}{secrets.token_hex(8)}"
    try:
        fresh.write_text(json.dumps({"id": name}) + "\n", encoding="utf-8")
        try:
            os.link(fresh, path)  # of two who make one at the same time, one wins
        except FileExistsError:
            pass
        finally:
            fresh.unlink(missing_ok=True)
        return _read(path)
    except OSError:  # a folder that we may only read: it runs nothing
        return socket.gethostname()


def is_here(place: Location, host: str) -> bool:
    """Whether what a record's `host` names is this machine."""
    if host in ("", identity(place)):
        return True
    # Whoever has the folder has the database too, wherever it was before.
    if not is_shared(place):
        return True
    return host == socket.gethostname()  # as records had it before machines had names of their own


def is_shared(place: Location) -> bool:
    """Whether other machines may use the same workspace: its database is not in the folder."""
    return place.database != Location.of_folder(place.root).database


def shown(host: str) -> str:
    """Return the name of a machine as people know it."""
    return host.partition(_MARK)[0]


def require_here(place: Location, host: str, *, what: str) -> None:
    """Refuse what belongs to another machine.

    Raises:
        NotSupported: it does.
    """
    if not is_here(place, host):
        raise errors.NotSupported(
            "expected something of this machine",
            where=what,
            got=belongs_to(host),
            action="Run the command there. When that machine has gone for good, delete it here "
            "and deploy it anew.",
        )


def belongs_to(host: str) -> str:
    """Return where something is, for messages."""
    return f"it belongs to machine {shown(host)}"


def _read(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise errors.CorruptWorkspace(
            "expected the name of this machine",
            where=str(path),
            got=f"{type(error).__name__}: {error}",
            action="Restore the file from a copy; without one, remove it.",
        ) from error
