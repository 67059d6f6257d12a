"""A replica's side of the wire: gives the front door's requests to what answers them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from calotype.hosting import socket_folder, wire
from calotype.serving import refusals
from calotype.serving.cycle import STATUS_LINES, header_block
from calotype.serving.exchange import JSON, Answer, Headers, Request
from calotype.serving.journal import Journal
from calotype.serving.refusals import Refusal

_DRAIN_S: Final = 30.0
_BACKLOG: Final = 64
_GONE: Final = 499

Answerer = Callable[[Request, bytes], Awaitable[tuple[Answer, Headers] | None]]
"""`ScoringApp.answer`, or the like of it."""
Reply = tuple[int, bytes, bytes]
"""Status, header lines and body."""
_NOBODY_WAITS: Final = (_GONE, b"", b"")


class WireServer:
    """Answers what comes over a unix socket.

    Args:
        answerer: of a `ScoringApp` with the prefix of its service.
        path: of the socket; an old one there is replaced.
        journal: is told of its defects.
    """

    def __init__(self, answerer: Answerer, path: Path, journal: Journal) -> None:
        self.answerer = answerer
        self.path = path
        self.journal = journal
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Take requests from now on."""
        socket_folder.make(self.path.parent)
        self.path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: _Connection(self, loop), str(self.path), backlog=_BACKLOG
        )

    async def keep(self) -> None:
        """Listen anew when somebody has removed the socket; who is connected stays."""
        if self._server is not None and not self.path.exists():
            self._server.close()
            await self.start()

    async def close(self, *, drain_timeout_s: float = _DRAIN_S) -> None:
        """Ask the door to send no more, answer what has come, and end."""
        if self._server is None:
            return
        self._server.close()
        self.path.unlink(missing_ok=True)
        for connection in self.connections:
            connection.leave()
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + drain_timeout_s
        while self.connections and loop.time() < deadline_s:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()


class _Connection(asyncio.Protocol):
    """A front door that is connected."""

    def __init__(self, server: WireServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._reader = wire.FrameReader(self._take)
        self._transport: asyncio.Transport | None = None
        self._begun, self._begun_name = wire.Begun.make(server.path)
        self._is_last = False
        self.exchanges: dict[int, _Exchange] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._server.connections.add(self)
        transport.write(wire.frame(wire.HELLO, wire.VERSION, self._begun_name.encode(), b"", 0))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        with contextlib.suppress(OSError):  # the door has removed it
            os.unlink(self._begun_name)
        for exchange in self.exchanges.values():
            exchange.disconnected = True

    def leave(self) -> None:
        """Ask for no more requests."""
        assert self._transport is not None
        self._transport.write(wire.frame(wire.LEAVING, 0, b"", b"", 0))

    def abort(self) -> None:
        """End at once."""
        assert self._transport is not None
        self._transport.abort()

    def _take(self, kind: int, _status: int, head: bytes, body: bytes, number: int) -> None:
        if kind == wire.REQUEST:
            self._begun.number = number
            exchange = self.exchanges[number] = _Exchange()
            exchange.task = self._loop.create_task(self._run(exchange, number, head, body))
        elif kind == wire.CANCEL:
            if (cancelled := self.exchanges.get(number)) is not None:
                cancelled.disconnected = True
        elif kind == wire.LEAVING:
            self._is_last = True
            self._end_if_done()

    async def _run(self, exchange: _Exchange, number: int, head: bytes, body: bytes) -> None:
        """Answer one request; whatever happens, the door gets an answer."""
        request = wire.unpack_request(head)
        request.connection = exchange
        reply: Reply = _NOBODY_WAITS
        try:
            replied = await self._server.answerer(request, body)
            if replied is not None:
                reply = _reply(*replied)
        except asyncio.CancelledError:
            reply = _refused(refusals.overloaded("The service is shutting down."), request)
            raise
        except Exception:  # noqa: BLE001 - the boundary: one request must not end all
            self._server.journal.write("defect", level="error", trace=traceback.format_exc())
            reply = _refused(refusals.internal_error(), request)
        finally:
            self._answer(number, *reply)

    def _answer(self, number: int, status: int, head: bytes, body: bytes) -> None:
        del self.exchanges[number]
        transport = self._transport
        assert transport is not None
        if not transport.is_closing():
            if len(body) > wire.JOINED_BYTES:
                transport.write(wire.opening(wire.ANSWER, status, head, len(body), number))
                transport.write(body)
            else:
                transport.write(wire.frame(wire.ANSWER, status, head, body, number))
        if self._is_last:
            self._end_if_done()

    def _end_if_done(self) -> None:
        if not self.exchanges and self._transport is not None:
            self._transport.close()  # after what is still to be written


class _Exchange:
    """A request that is being answered.

    Attributes:
        disconnected: whether its caller has gone; `Request.is_abandoned` looks here.
        task: answers it, and would not live without being held here.
    """

    __slots__ = ("disconnected", "task")

    def __init__(self) -> None:
        self.disconnected = False
        self.task: asyncio.Task[None] | None = None


def _reply(answer: Answer, headers: Headers) -> Reply:
    if answer.status not in STATUS_LINES:
        raise RuntimeError(f"{answer.status} is no status of HTTP")
    return answer.status, header_block(headers).text, answer.body


def _refused(refusal: Refusal, request: Request) -> Reply:
    """Return an answer in the place of the one that failed."""
    given = request.header(b"x-request-id") or b""
    document = {
        "status_code": refusal.status,
        "message": refusal.message,
        "request_id": given.decode("latin-1"),
    }
    headers = [(b"content-type", JSON), (b"x-request-id", given), *refusal.headers]
    return refusal.status, header_block(headers).text, json.dumps(document).encode()
