"""One request and its answer between a connection and the ASGI app.

Does what uvicorn's cycle does in fewer steps: head and body leave in one write, header lines are
checked as a whole, and nothing to wait on is made unless somebody has to wait.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol

from uvicorn.protocols.http.flow_control import FlowControl

from calotype.serving.exchange import Headers
from calotype.serving.guard import status_line
from calotype.serving.refusals import Refusal, internal_error, overloaded
from calotype.serving.turn import Turn

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)

_HIGH_WATER_BYTES = 256 << 10  # of a body that the app has not taken; as much as one read brings
_JOINED_BYTES = 64 << 10  # a longer body is not copied to stand behind its head
_MAX_KNOWN_NAMES = 1000
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
STATUS_LINES: Final = {status: status_line(status) for status in range(100, 600)}
_WITHOUT_BODY = frozenset({204, 304})
_DECIDED_HERE = frozenset({b"connection", b"content-length", b"transfer-encoding"})
_known_names: dict[bytes, bytes] = {}


class Connection(Protocol):
    """What a cycle needs of its connection."""

    @property
    def default_lines(self) -> bytes:
        """Header lines that every answer has."""
        ...

    def on_answered(self, turn: Turn) -> None:
        """Go on with the next request, or end the connection."""
        ...

    def answer_instead(self, turn: Turn, refusal: Refusal) -> None:
        """Write an answer that is not the app's."""
        ...


class Cycle(Turn):
    """One request and its answer, as an ASGI app sees them."""

    __slots__ = (
        "_chunks",
        "_content_length",
        "_flow",
        "_head",
        "_is_chunked",
        "_is_delivered",
        "_is_http_11",
        "_is_without_body",
        "_owner",
        "_pending_bytes",
        "_transport",
        "_waiter",
    )

    def __init__(
        self,
        scope: dict[str, Any],
        owner: Connection,
        transport: asyncio.Transport,
        flow: FlowControl,
        *,
        keep_alive: bool,
        waits_for_continue: bool,
    ) -> None:
        # Not the scope itself: it points back here, and a ring waits for the garbage collector.
        super().__init__(
            scope["headers"], keep_alive=keep_alive, waits_for_continue=waits_for_continue
        )
        self._owner = owner
        self._transport = transport
        self._flow = flow
        self._is_without_body = scope["method"] == "HEAD"
        self._is_http_11 = scope["http_version"] == "1.1"
        self._chunks: list[bytes] = []
        self._pending_bytes = 0
        self._is_delivered = False
        self._waiter: asyncio.Future[None] | None = None
        self._head: bytes | None = None
        self._content_length: int | None = None
        self._is_chunked = False

    async def run(self, app: App, scope: dict[str, Any]) -> None:
        """Let the app answer; whatever it does, the caller gets an answer or a closed line."""
        try:
            await app(scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._fail(overloaded("The service is shutting down."))
            raise
        except Exception:  # the boundary of the app: one request must not end the process
            logger.exception("The app failed on a request")
            self._fail(internal_error())
        else:
            if not self.is_answered and not self.disconnected:
                logger.error("The app returned without a complete answer")
                self._fail(internal_error())

    def _fail(self, refusal: Refusal) -> None:
        if self.disconnected or self.is_answered:
            return
        if self.is_written:
            self._transport.close()  # half an answer cannot be taken back
        else:
            self._owner.answer_instead(self, refusal)

    def add_body(self, chunk: bytes) -> None:
        """Take a part of the body from the wire."""
        self._chunks.append(chunk)
        self._pending_bytes += len(chunk)
        if self._pending_bytes > _HIGH_WATER_BYTES:
            self._flow.pause_reading()
        self.wake()

    def wake(self) -> None:
        """Let `receive` look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def abandon(self) -> None:
        """Tell the app that nobody waits for its answer."""
        if not self.is_answered:
            self.disconnected = True
        self.wake()

    async def receive(self) -> Message:
        """Return the next part of the body, or after the last one the end of the connection."""
        if self.waits_for_continue and not self.is_written and not self.disconnected:
            self.waits_for_continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while self._has_nothing_to_say():
            self._flow.resume_reading()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self.disconnected or self.is_answered:
            return {"type": "http.disconnect"}
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        self._pending_bytes = 0
        self._is_delivered = not self.more_body
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    def _has_nothing_to_say(self) -> bool:
        if self.disconnected or self.is_answered:
            return False
        return self._is_delivered or (self.more_body and not self._chunks)

    async def send(self, message: Message) -> None:
        """Take a part of the answer from the app."""
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        if self.is_answered:
            raise RuntimeError("The answer is complete already")
        if message["type"] == "http.response.start" and self._head is None:
            self._head = self._make_head(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body" and self._head is not None:
            self._write(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"{message['type']} is out of turn")

    def _make_head(self, status: int, headers: Headers) -> bytes:
        """Return all lines that are known by now; nothing has been written when this fails."""
        if self.waits_for_continue and self.more_body:
            self.keep_alive = False  # nobody knows whether the body is still going to come
        if status in _WITHOUT_BODY:
            self._is_without_body = True
        lines = header_block(headers)
        self._content_length = lines.content_length
        self.keep_alive = self.keep_alive and not lines.closes
        return b"".join((STATUS_LINES[status], self._owner.default_lines, lines.text))

    def _write(self, body: bytes, *, more: bool) -> None:
        if not self.is_written:
            head = self._finish_head(len(body), more=more)
            framed = self._framed(body, more=more)
            self.is_written = True
            if len(framed) > _JOINED_BYTES:
                self._transport.write(head)
                self._transport.write(framed)
            else:
                self._transport.write(head + framed)
        elif framed := self._framed(body, more=more):
            self._transport.write(framed)
        if not more:
            self.is_answered = True
            self.wake()
            self._owner.on_answered(self)

    def _finish_head(self, size: int, *, more: bool) -> bytes:
        assert self._head is not None
        framing = b""
        if self._content_length is not None:
            framing = b"content-length: %d\r\n" % self._content_length
        elif not self._is_without_body:
            framing = self._choose_framing(size, more=more)
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        return b"".join((self._head, framing, end))

    def _choose_framing(self, size: int, *, more: bool) -> bytes:
        if not more:
            return b"content-length: %d\r\n" % size
        if self._is_http_11:
            self._is_chunked = True
            return b"transfer-encoding: chunked\r\n"
        self.keep_alive = False  # HTTP/1.0 ends a body of unknown length by closing
        return b""

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        if self._is_without_body:
            return b""
        if self._is_chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk if more else chunk + b"0\r\n\r\n"
        if self._content_length is not None:
            self._content_length -= len(body)
            if self._content_length < 0 or (self._content_length and not more):
                raise RuntimeError("The body does not have the length that Content-Length promised")
        return body


class HeaderBlock(NamedTuple):
    """Headers of an answer as lines of the wire, without those about the framing.

    Attributes:
        text: the lines, in the order of the headers.
        content_length: what they say; None when they say nothing.
        closes: whether they ask for the end of the connection.
    """

    text: bytes
    content_length: int | None
    closes: bool


def header_block(headers: Iterable[tuple[bytes, bytes]]) -> HeaderBlock:
    """Return the lines of an app's headers, after checking that they are lines.

    Raises:
        RuntimeError: a name is none, or a value would smuggle in a line.
    """
    lines: list[bytes] = []
    content_length, closes = None, False
    for given, value in headers:
        name = _known_names.get(given) or _learn(given)
        if name not in _DECIDED_HERE:
            lines += (name, b": ", value, b"\r\n")
        elif name == b"content-length":
            content_length = int(value)
        elif name == b"connection" and b"close" in value.lower():
            closes = True
    text = b"".join(lines)
    _check_lines(text, len(lines) // 4)
    return HeaderBlock(text, content_length, closes)


def _learn(given: bytes) -> bytes:
    """Return a header name in lower case, and remember that it is one."""
    if not _NAME.fullmatch(given):
        raise RuntimeError(f"{given!r} is no name of a header")
    name = given.lower()
    if len(_known_names) < _MAX_KNOWN_NAMES:  # a script may make up names without end
        _known_names[given] = name
    return name


def _check_lines(head: bytes, count: int) -> None:
    """Refuse values that would end their line early and smuggle in a header or an answer.

    Counting over the whole head costs a tenth of a pattern search in each value.
    """
    if head.count(b"\n") != count or head.count(b"\r") != count or b"\0" in head:
        raise RuntimeError("A header's value holds a line break or NUL")
