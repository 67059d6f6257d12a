"""Ports that services have of their own: chosen once, and kept over all updates and reboots."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import socket
from typing import Final

from calotype import errors
from calotype.workspace.machine import is_here
from calotype.workspace.workspace import Workspace

# Below those that systems hand out for outgoing connections: while a service is down, nobody gets
# its port by chance.
_FIRST: Final = 20_000
_LAST: Final = 32_000
_TRIES: Final = 200


def free_port(workspace: Workspace, host: str) -> int:
    """Return a port that nobody has: no service of this machine, and no process now.

    Raises:
        CannotListen: there is none, or the address is not this machine's.
    """
    taken = _of_services(workspace)
    problem = ""
    for port in random.sample(range(_FIRST, _LAST), _TRIES):
        if port in taken:
            continue
        problem = _problem(host, port)
        if not problem:
            return port
        if problem != os.strerror(errno.EADDRINUSE):
            break
    raise errors.CannotListen(
        "expected a free port", where=host, got=problem, action="Choose another host, or a port."
    )


def require_free(workspace: Workspace, host: str, port: int, *, but_of: str = "") -> None:
    """Refuse a port that is taken.

    Raises:
        CannotListen: by another service, even when it is stopped, or by any process.
    """
    owner = _of_services(workspace).get(port, "")
    problem = _problem(host, port)
    if owner and owner != but_of:
        problem = f"the port of service '{owner}'"
    if problem:
        raise errors.CannotListen(
            "expected a free port",
            where=f"{host}:{port}",
            got=problem,
            action="Choose another, or none to have one chosen.",
        )


def _of_services(workspace: Workspace) -> dict[int, str]:
    return {
        service.access.port: service.name
        for service in workspace.services.list()
        if service.access.port and is_here(workspace.place, service.host)
    }


def _problem(host: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return ""
