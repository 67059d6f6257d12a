"""Where the front door listens: one address, with or without TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype.hosting.passage import DoorConnection, Passages
from calotype.hosting.routes import Routes
from calotype.serving.guard import Guard
from calotype.serving.journal import Journal
from calotype.serving.server import HttpServer, listen
from calotype.serving.tls import TlsCertificate, TlsSettings

if TYPE_CHECKING:
    from calotype.hosting.door_app import DoorApp

_LOOK_EVERY_S: Final = 1.0
_WARN_EVERY_S: Final = 24 * 3600


class DoorServer:
    """Serves callers at one address until the routes name another, or another certificate.

    Args:
        routes: say where.
        guard: limits of connections.
        passages: takes requests for services.
        app: takes all others.
        journal: the log.

    Raises:
        CalotypeError: the certificate cannot be used.
    """

    def __init__(
        self,
        routes: Routes,
        guard: Guard,
        passages: Passages,
        app: DoorApp,
        *,
        journal: Journal,
    ) -> None:
        self.routes = routes
        self._port = 0
        self._guard = guard
        self._journal = journal
        self._app = app
        self._certificate = _certificate(routes)
        self._protocol = type(
            "BoundDoor", (DoorConnection,), {"guard": guard, "passages": passages}
        )
        self._server: HttpServer | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.listener: socket.socket | None = None

    @property
    def port(self) -> int:
        """Where it listens, or did last."""
        return self._port

    @property
    def connections(self) -> int:
        """How many are open."""
        return self._server.connections if self._server is not None else 0

    def is_at(self, routes: Routes) -> bool:
        """Whether routes name the address where it listens."""
        return self.routes.host == routes.host and routes.port in (self.routes.port, self.port)

    def suits(self, routes: Routes) -> bool:
        """Whether it is what routes ask for."""
        return self.is_at(routes) and _tls(self.routes) == _tls(routes)

    async def start(self, listener: socket.socket | None) -> None:
        """Accept connections from now on.

        Args:
            listener: of this address; None: an own one.

        Raises:
            CannotListen: the address is taken, or not this machine's.
        """
        self.listener = listener or listen(self.routes.host, self.routes.port)
        self._port = self.listener.getsockname()[1]
        server = HttpServer(
            self._app,
            self.listener.dup(),  # closed with the server, while the next one goes on with ours
            self._guard.settings,
            protocol=self._protocol,
            tls=self._certificate.context if self._certificate is not None else None,
        )
        await server.start()
        self._server = server
        if self._certificate is not None:
            watching = self._watch(self._certificate)
            self._watcher = asyncio.get_running_loop().create_task(watching)

    def give_listener(self) -> socket.socket | None:
        """Let another server accept connections at the same address; `close` follows."""
        given, self.listener = self.listener, None
        return given

    def let_go(self) -> None:
        """Close the socket, for one who listens at the same port of another address."""
        if (listener := self.give_listener()) is not None:
            listener.close()

    async def stop_listening(self) -> None:
        """Accept nothing more; `close` follows."""
        if self._server is not None:
            self._server.stop_listening()
            await asyncio.sleep(0)  # uvloop lets go of the socket in its next turn

    async def close(self) -> None:
        """Answer what was accepted, then end."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._watcher
        self.let_go()  # nobody would accept from it
        if self._server is not None:
            await self._server.drain()

    async def _watch(self, certificate: TlsCertificate) -> None:
        """Take a renewed certificate within a second, and warn once a day before it ends."""
        while True:
            if warning := certificate.warning:
                self._journal.write(warning, level="warning")
            for _ in range(_WARN_EVERY_S):
                await asyncio.sleep(_LOOK_EVERY_S)
                # One that cannot be used is told by `calotype.serving.tls`, once.
                if certificate.reload_if_changed():
                    self._journal.write("certificate reloaded", expires=certificate.expires_at)


def _tls(routes: Routes) -> tuple[str, str, bool]:
    return routes.tls_certificate, routes.tls_key, routes.tls_exact_1_2


def _certificate(routes: Routes) -> TlsCertificate | None:
    if not routes.tls_certificate:
        return None
    settings = TlsSettings(Path(routes.tls_certificate), Path(routes.tls_key), routes.tls_exact_1_2)
    return TlsCertificate(settings)
