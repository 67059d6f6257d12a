"""A replica's side of the wire: gives the front door's requests to an ASGI app."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from calotype.hosting import socket_folder, wire
from calotype.serving import refusals
from calotype.serving.cycle import STATUS_LINES, header_block
from calotype.serving.journal import Journal
from calotype.serving.refusals import Refusal

_DRAIN_S: Final = 30.0
_BACKLOG: Final = 64
_GONE: Final = 499

Message = dict[str, Any]
App = Callable[
    [dict[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


class WireServer:
    """Answers what comes over a unix socket.

    Args:
        app: an ASGI app, such as a `ScoringApp` with the prefix of its service.
        path: of the socket; an old one there is replaced.
        journal: is told of an app's defects.
    """

    def __init__(self, app: App, path: Path, journal: Journal) -> None:
        self.app = app
        self.path = path
        self.journal = journal
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def in_flight(self) -> int:
        """How many requests are being answered."""
        return sum(len(connection.exchanges) for connection in self.connections)

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
            exchange.abandon()

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
            exchange = _Exchange(self, number, body)
            self.exchanges[number] = exchange
            exchange.task = self._loop.create_task(exchange.run(self._server, head))
        elif kind == wire.CANCEL:
            if (cancelled := self.exchanges.get(number)) is not None:
                cancelled.abandon()
        elif kind == wire.LEAVING:
            self._is_last = True
            self._end_if_done()

    def answer(self, number: int, status: int, head: bytes, body: bytes) -> None:
        """Send an answer back."""
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
    """One request and its answer, as an ASGI app sees them.

    Attributes:
        disconnected: whether the caller has gone; `Request.is_abandoned` looks here.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_gone",
        "_head",
        "_is_delivered",
        "_length",
        "_number",
        "_parts",
        "_status",
        "disconnected",
        "task",
    )

    def __init__(self, connection: _Connection, number: int, body: bytes) -> None:
        self._connection = connection
        self._number = number
        self._body = body
        self._is_delivered = False
        self._status = 0  # of the answer, once it is known
        self._head = b""
        self._length: int | None = None
        self._parts: list[bytes] = []
        self._gone: asyncio.Future[None] | None = None
        self.disconnected = False
        self.task: asyncio.Task[None] | None = None

    async def run(self, server: WireServer, head: bytes) -> None:
        """Let the app answer; whatever it does, the door gets an answer."""
        scope = wire.unpack_request(head)
        scope["extensions"] = {"calotype.connection": self}
        answer = (_GONE, b"", b"")
        try:
            await server.app(scope, self.receive, self.send)
            if self._is_whole(scope["method"]):
                answer = (self._status, self._head, b"".join(self._parts))
            elif not self.disconnected:
                raise RuntimeError("The app returned without a complete answer")
        except asyncio.CancelledError:
            answer = _refused(refusals.overloaded("The service is shutting down."), scope)
            raise
        except Exception:  # noqa: BLE001 - the boundary of the app: one request must not end all
            server.journal.write("defect", level="error", trace=traceback.format_exc())
            answer = _refused(refusals.internal_error(), scope)
        finally:
            self._connection.answer(self._number, *answer)

    def _is_whole(self, method: str) -> bool:
        if not self._status:
            return False
        size = sum(map(len, self._parts))
        return self._length is None or size == self._length or (method == "HEAD" and not size)

    def abandon(self) -> None:
        """Tell the app that nobody waits for its answer."""
        self.disconnected = True
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    async def receive(self) -> Message:
        """Return the body, and the second time the end of the connection."""
        if not self._is_delivered and not self.disconnected:
            self._is_delivered = True
            body, self._body = self._body, b""
            return {"type": "http.request", "body": body, "more_body": False}
        if not self.disconnected:
            self._gone = asyncio.get_running_loop().create_future()
            await self._gone
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the answer from the app."""
        if message["type"] == "http.response.start" and not self._status:
            if message["status"] not in STATUS_LINES:
                raise RuntimeError(f"{message['status']} is no status of HTTP")
            block = header_block(message.get("headers", ()))
            self._head, self._length = block.text, block.content_length
            self._status = message["status"]
        elif message["type"] == "http.response.body" and self._status:
            self._parts.append(message.get("body", b""))
        else:
            raise RuntimeError(f"{message['type']} is out of turn")


def _refused(refusal: Refusal, scope: dict[str, Any]) -> tuple[int, bytes, bytes]:
    """Return status, header lines and body of an answer in the app's place."""
    request_id = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    document = {
        "status_code": refusal.status,
        "message": refusal.message,
        "request_id": request_id,
    }
    headers = [
        (b"content-type", b"application/json"),
        (b"x-request-id", request_id.encode("latin-1")),
        *refusal.headers,
    ]
    return refusal.status, header_block(headers).text, json.dumps(document).encode()
