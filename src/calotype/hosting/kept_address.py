"""The port of its own that a service has: one listening socket for replicas that come and go."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Final

from calotype import errors
from calotype.serving.server import listen
from calotype.workspace.service_settings import AccessSettings, Target

_BIND_AGAIN_S: Final = 2.0


class KeptAddress:
    """Where callers reach one service without the front door.

    Args:
        name: of the service.
        target: of it; only some have a port.

    Attributes:
        trouble: why it has no address; empty when it has one, or needs none.
    """

    def __init__(self, name: str, target: Target) -> None:
        self.has_port = target in ("local", "instance")
        self.trouble = ""
        self._name = name
        self._listener: socket.socket | None = None
        self._old_listeners: list[socket.socket] = []
        self._bind_again_s = 0.0

    @property
    def port(self) -> int:
        """Where it listens; 0 for nowhere."""
        return self._listener.getsockname()[1] if self._listener is not None else 0

    @property
    def descriptor(self) -> int:
        """The listening socket, for a replica; -1 for none."""
        return self._listener.fileno() if self._listener is not None else -1

    def listen(
        self, access: AccessSettings, adopted: Callable[[int], socket.socket | None]
    ) -> None:
        """Listen where the record says; where it cannot, it goes on where it did.

        Args:
            access: of the record.
            adopted: returns the socket of a running replica with this port, 0 for any.
        """
        if not self.has_port or time.monotonic() < self._bind_again_s:
            return
        wanted = access.port or 0
        if self._listener is not None:
            host, port = self._listener.getsockname()[:2]
            if wanted in (0, port) and _is_same(host, access.host):
                self.trouble = ""
                return
            self._old_listeners.append(self._listener)  # its callers are served until the switch
            self._listener = None
        try:
            self._listener = adopted(wanted) or listen(access.host, wanted)
            self.trouble = ""
        except errors.CannotListen as error:
            self.trouble = (
                f"It cannot listen at {error.where}: {error.got}. Choose another port, with "
                f"`calotype service update -n {self._name} --port N`, or free this one."
            )
            self._bind_again_s = time.monotonic() + _BIND_AGAIN_S
            if self._old_listeners:
                self._listener = self._old_listeners.pop()

    def leave_old(self) -> None:
        """Let go of the sockets that it listened at before; nobody answers there any more."""
        for one in self._old_listeners:
            one.close()
        self._old_listeners = []

    def stop(self) -> None:
        """Listen no more: callers would wait for ever."""
        self.leave_old()
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def _is_same(bound: str, asked: str) -> bool:
    if bound == asked:
        return True
    with contextlib.suppress(OSError):
        found = socket.getaddrinfo(asked, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return any(one[4][0] == bound for one in found)
    return False
