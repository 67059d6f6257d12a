"""Listens, serves one app over HTTP/1.1 and TLS, and leaves no accepted request unanswered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Final

from uvicorn import Config
from uvicorn.server import ServerState

from calotype import errors
from calotype.serving.protocol import GuardedProtocol
from calotype.serving.settings import ServiceSettings
from calotype.serving.tls_listener import TlsListener

logger = logging.getLogger(__name__)

_BACKLOG: Final = 2048
_OWN_DESCRIPTORS: Final = 200  # for files, workers and libraries


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that accepts connections; port 0 takes a free one.

    Raises:
        CannotListen: the address is taken, or not this machine's (2003).
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With its protocol named, event loops turn off Nagle's algorithm on its connections:
        # otherwise some answers wait 40 ms for an acknowledgement.
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise errors.CannotListen(
            "expected a free address of this machine",
            where=f"{host}:{port}",
            got=error.strerror or str(error),
            action="Choose another --port, or 0 for a free one.",
        ) from error
    listener.setblocking(False)
    return listener


def allow_descriptors(count: int) -> None:
    """Let this process and those that it starts have `count` files and sockets open."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    with contextlib.suppress(OSError, ValueError):  # macOS has a further limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft < count:
        logger.warning(
            "Only %d files may be open: lower --max-connections or raise `ulimit -n` to %d.",
            soft,
            count,
        )


class HttpServer:
    """One app on one listening socket, in the running event loop.

    Args:
        app: an ASGI app.
        listener: accepts connections; other processes may have it too. None: `start` brings it.
        settings: deadlines.
        protocol: makes the guarded protocol of a connection.
        tls: what connections are encrypted with.
    """

    def __init__(
        self,
        app: Any,
        listener: socket.socket | None,
        settings: ServiceSettings,
        *,
        protocol: type[GuardedProtocol],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._listener = listener
        self._settings = settings
        self._tls = tls
        self._config = Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # or uvicorn wraps the app once more
            timeout_keep_alive=round(settings.idle_timeout_s),
        )
        self._config.load()
        self._protocol = protocol
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._tls_listener: TlsListener | None = None
        self._clock: asyncio.Task[None] | None = None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._state.connections)

    async def start(self, listener: socket.socket | None = None) -> None:
        """Accept connections from now on, of `listener` when it is given."""
        listener = listener or self._listener
        assert listener is not None
        guard = self._protocol.guard
        allow_descriptors(guard.most_connections + _OWN_DESCRIPTORS)
        loop = asyncio.get_running_loop()
        self._clock = loop.create_task(self._keep_date())

        def connect() -> GuardedProtocol:
            return self._protocol(self._config, self._state, {}, loop)

        if self._tls is None:
            self._server = await loop.create_server(connect, sock=listener, backlog=_BACKLOG)
        else:
            self._tls_listener = TlsListener(
                listener, self._tls, connect, may_enter=guard.may_enter
            )

    def stop_listening(self) -> None:
        """Accept nothing more; `drain` follows."""
        if self._tls_listener is not None:
            self._tls_listener.stop()
        if self._server is not None:
            self._server.close()

    async def retire(self, grace_s: float) -> None:
        """Accept nothing more and take leave of every connection with its next answer.

        Another process accepts in our place. A connection that is idle now may bring a request at
        any moment, so it is closed after `grace_s` only; `drain` follows.
        """
        self.stop_listening()
        self._protocol.guard.is_leaving = True
        for connection in list(self._state.connections):
            if isinstance(connection, GuardedProtocol):
                connection.shutdown_later()
        deadline_s = time.monotonic() + grace_s
        while self._state.connections and time.monotonic() < deadline_s:
            await asyncio.sleep(0.02)

    async def drain(self) -> None:
        """Accept nothing more, answer what was accepted, within `drain_timeout_s`, and close."""
        self.stop_listening()
        if self._tls_listener is not None:
            await self._tls_listener.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        deadline_s = time.monotonic() + self._settings.drain_timeout_s
        while self._state.connections and time.monotonic() < deadline_s:
            await asyncio.sleep(0.02)
        for connection in list(self._state.connections):
            connection.transport.abort()
        if self._clock is not None:
            self._clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._clock

    async def _keep_date(self) -> None:
        while True:
            self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
            await asyncio.sleep(1.0)


def run(main: Callable[[], Any]) -> None:
    """Run a coroutine function to its end on the fastest event loop there is here."""
    try:
        import uvloop
    except ImportError:  # Windows
        asyncio.run(main())
    else:
        uvloop.run(main())
