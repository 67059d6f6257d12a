"""What one process lets its connections do: limits, one sweep over all of them, and counts."""

from __future__ import annotations

import asyncio
import json
import uuid
from http import HTTPStatus
from typing import Protocol

from calotype.serving.cors import Cors
from calotype.serving.exchange import Headers
from calotype.serving.metrics import Meter
from calotype.serving.refusals import Refusal
from calotype.serving.settings import ServiceSettings

MAX_PIPELINED = 100  # one read of 256 KB could hold 14,000 requests otherwise
LINGER_S = 2.0
_MAX_REQUEST_ID = 100


class Connection(Protocol):
    """What the sweep needs of a connection."""

    def check(self, now_s: float) -> None:
        """End the connection if it is overdue at `now_s` of the loop's clock."""
        ...


class Guard:
    """The limits of one process and the connections that are held to them.

    One timer looks at all connections: a timer for each request would cost more than parsing it.

    Attributes:
        cors: which pages may read what is answered here and not by the app.
        meter: counts what was refused and which connections were closed.
        is_leaving: whether each answer is the last one of its connection.
    """

    def __init__(self, settings: ServiceSettings, meter: Meter | None = None) -> None:
        self.settings = settings
        self.cors = Cors(settings.cors_origins)
        self.meter = meter or Meter()
        self.is_leaving = False
        self.connections: set[Connection] = set()
        # Those above the limit still get a 503, as long as they are few themselves.
        self.max_surplus = 16 + settings.max_connections // 10
        shortest = min(
            settings.header_timeout_s,
            settings.body_timeout_s,
            settings.idle_timeout_s,
            settings.write_timeout_s,
        )
        self._interval_s = min(1.0, shortest / 4)
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._waits = False
        self._default_headers: Headers = []
        self._default_lines = b""

    def add(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> int:
        """Watch a connection, and return how many there are above the limit."""
        self.connections.add(connection)
        if self._timer is None:
            self._sweep_later(loop)
        return len(self.connections) - self.settings.max_connections

    @property
    def most_connections(self) -> int:
        """How many may be open at a time, those that get a 503 among them."""
        return self.settings.max_connections + self.max_surplus

    def may_enter(self, others: int) -> bool:
        """Whether a connection that is not watched yet has room, beside `others` like it."""
        has_room = len(self.connections) + others < self.most_connections
        if not has_room:
            self.meter.close("too many")
        return has_room

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        # After a standstill, what callers have sent in time is still to be read; once is enough.
        self._waits = not self._waits and now_s >= self._due_s + self._interval_s
        if not self._waits:
            for connection in tuple(self.connections):
                connection.check(now_s)
        self._timer = None
        if self.connections:  # an idle service wakes up for nothing
            self._sweep_later(loop)

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_s = loop.time() + self._interval_s
        self._timer = loop.call_later(self._interval_s, self._sweep, loop)

    def default_lines(self, headers: Headers) -> bytes:
        """Return the server's own headers, such as `date`, as lines.

        Args:
            headers: uvicorn's list, which is replaced by a new one every second.
        """
        if headers is not self._default_headers:
            self._default_headers = headers
            self._default_lines = header_lines(headers)
        return self._default_lines


def header_lines(headers: Headers) -> bytes:
    """Return headers as they stand on the wire."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


def status_line(status: int) -> bytes:
    """Return the first line of an answer; a status without a standard phrase gets none."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


def refusal_answer(
    refusal: Refusal, *, defaults: bytes, sent: Headers, close: bool, cors: Cors
) -> bytes:
    """Return a whole answer on the wire, for a request that the app does not answer.

    Args:
        refusal: status, sentence and further headers.
        defaults: lines of headers that every answer has.
        sent: the headers that came with the request, as far as they were read.
        close: whether the connection ends with this answer.
        cors: which pages may read it.
    """
    request_id = _request_id(sent)
    content = {"status_code": refusal.status, "message": refusal.message, "request_id": request_id}
    body = json.dumps(content).encode("ascii")
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode("ascii")),
        *(header for header in refusal.headers if header[0] != b"connection"),
        *cors.headers(_first(sent, b"origin")),
    ]
    if close:
        headers.append((b"connection", b"close"))
    return b"".join([status_line(refusal.status), defaults, header_lines(headers), b"\r\n", body])


def _request_id(sent: Headers) -> str:
    given = _first(sent, b"x-request-id") or b""
    if 0 < len(given) <= _MAX_REQUEST_ID and given.isascii():
        return given.decode("ascii")
    return str(uuid.uuid4())


def _first(sent: Headers, wanted: bytes) -> bytes | None:
    return next((value for name, value in sent if name == wanted), None)
