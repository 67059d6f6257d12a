"""A real server on loopback for the tests of the protocol, TLS and keys."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import uvicorn

from calotype.serving.guard import Guard
from calotype.serving.protocol import guarded_protocol
from calotype.serving.settings import ServiceSettings

WAIT_S = 60.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return as soon as `condition` holds; fail when it does not come about."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not come about"
        threading.Event().wait(0.005)


@dataclass
class GuardedServer:
    """A running server, and what its guard has seen."""

    guard: Guard
    port: int
    server: uvicorn.Server

    def stop(self) -> None:
        """Begin to shut down, as at SIGTERM."""
        self.server.should_exit = True

    @property
    def is_draining(self) -> bool:
        """Whether open connections have been told to end."""
        return not self.server.servers[0].is_serving()

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)

    def exchange(self, data: bytes) -> bytes:
        """Send `data` on a new connection and return all that comes until it is closed."""
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):  # it may stop reading before the end
                connection.sendall(data)
            return read_all(connection)

    def exchange_in_time(self, data: bytes) -> bytes:
        """Do the same where connections may be silent for so short that any pause exceeds it.

        One that was closed before its first byte arrived is made anew, and forgotten.
        """
        deadline_s = time.monotonic() + WAIT_S
        while time.monotonic() < deadline_s:
            too_late = self.guard.meter.closed["silent"]
            with contextlib.suppress(ConnectionError):
                if answer := self.exchange(data):
                    return answer
            self._wait_for_silence(too_late)
        raise AssertionError("the first byte never arrived in time")

    def _wait_for_silence(self, before: int) -> None:
        wait_until(lambda: self.guard.meter.closed["silent"] > before, "the end of a silent one")


def read_all(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    received = b""
    while True:
        part = connection.recv(1 << 16)
        if not part:
            return received
        received += part


@contextlib.contextmanager
def guarded_server(
    app: Any, settings: ServiceSettings, *, tls: ssl.SSLContext | None = None, loop: str = "uvloop"
) -> Generator[GuardedServer]:
    """Serve `app` in a thread."""
    guard = Guard(settings)
    config = uvicorn.Config(
        app,
        http=guarded_protocol(guard),
        loop=loop,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
    config.load()
    config.ssl = tls
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_until(lambda: server.started, "the server")
            yield GuardedServer(guard, listener.getsockname()[1], server)
        finally:
            server.should_exit = True
            thread.join(WAIT_S)
            assert not thread.is_alive()
