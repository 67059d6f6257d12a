"""HTTP/1.1 that a hostile or broken client cannot hold up: uvicorn's protocol with limits.

Requests are refused here, before the app sees them, with the same JSON as all other errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
import socket
import urllib.parse
from collections import deque
from enum import IntEnum
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from calotype.serving import refusals
from calotype.serving.cycle import Cycle
from calotype.serving.exchange import Headers
from calotype.serving.guard import LINGER_S, MAX_PIPELINED, Guard, refusal_answer
from calotype.serving.refusals import Refusal

logger = logging.getLogger(__name__)

_NOTED = frozenset({b"content-length", b"transfer-encoding", b"expect", b"host"})
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_REQUEST_LINE = re.compile(rb"[A-Za-z][\w-]{0,31} /\S* HTTP/1\.[01]\r\n")
_HEADER_OVERHEAD = len(": \r\n")


class Awaits(IntEnum):
    """What the next byte on a connection belongs to."""

    HEAD = 0
    BODY = 1
    NEXT = 2
    NOTHING = 3
    """A request was refused: what still comes is thrown away."""


def guarded_protocol(guard: Guard) -> type[GuardedProtocol]:
    """Return the protocol class for `uvicorn.Config(http=...)`, bound to the process's guard."""
    return type("BoundProtocol", (GuardedProtocol,), {"guard": guard})


class GuardedProtocol(HttpToolsProtocol):
    """One connection: parses requests, starts the app in their order, enforces the limits."""

    guard: Guard
    parser: httptools.HttpRequestParser

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._any_app: Any = self.app
        self._awaits = Awaits.HEAD
        self._deadline_s = math.inf
        self._unsent_since_s: float | None = None
        self._unanswered = 0
        self._active: Cycle | None = None
        self._incoming: Cycle | None = None
        self._queue: deque[tuple[Cycle, dict[str, Any]]] = deque()
        self._held: bytes | None = None
        self._is_surplus = False
        self._head_bytes = 0
        self._fed_bytes = 0
        self._barren_bytes = 0
        self._begin_head()

    # The transport's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first request."""
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        self.server = get_local_addr(transport)
        self.client = get_remote_addr(transport)
        self.scheme = "https" if is_ssl(transport) else "http"
        if isinstance(self.client, tuple):  # not over a unix socket
            with contextlib.suppress(OSError):  # the caller may be gone already
                connected: socket.socket = transport.get_extra_info("socket")
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._deadline_s = self.loop.time() + self.guard.settings.header_timeout_s
        surplus = self.guard.add(self, self.loop)
        self._is_surplus = surplus > 0
        if surplus > self.guard.max_surplus:
            self._drop("too many")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who works for this connection."""
        self.connections.discard(self)
        self.guard.connections.discard(self)
        self._abandon_all()
        self._incoming = None
        self.flow.resume_writing()
        self._awaits = Awaits.NOTHING
        if exc is None:
            self.transport.close()
        # It points back here.
        self.parser = None  # pyright: ignore[reportAttributeAccessIssue]

    def _abandon_all(self) -> None:
        if self._active is not None:
            self._active.abandon()
        for cycle, _ in self._queue:
            cycle.abandon()
        self._active = None
        self._queue.clear()

    def data_received(self, data: bytes) -> None:
        """Parse what came, within the limits."""
        if self._awaits is Awaits.NOTHING:
            return
        before = self._awaits, self._unanswered
        self._fed_bytes = len(data)
        self._barren_bytes += len(data)
        try:
            self._feed(data)
            if self._awaits is Awaits.HEAD:
                self._check_open_head(is_new=before != (Awaits.HEAD, self._unanswered))
            elif self._awaits is Awaits.BODY and (
                self._barren_bytes > self._fed_bytes + self.guard.settings.max_header_bytes
            ):
                raise Refusal(431, "The chunk extensions or trailers of the body are too long.")
        except httptools.HttpParserError as error:
            is_at_start = before[0] is not Awaits.BODY and before[1] == self._unanswered
            self._refuse(self._refusal_of(error, data if is_at_start else b""))
            return
        except Refusal as refusal:
            self._refuse(refusal)
            return
        if before != (self._awaits, self._unanswered):
            self._set_deadline()

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # Java's client asks for h2c on each first request, with the body behind it; the
                # parser has left HTTP by now, so a new one reads the request without the wish.
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version()
        lines = [b"%b %b HTTP/%b\r\n" % (method, self.url, version.encode("ascii"))]
        for name, value in self.headers:
            if name == b"connection" and b"close" in value.lower():
                lines.append(b"connection: close\r\n")
            elif name not in (b"connection", b"upgrade"):
                lines.append(b"%b: %b\r\n" % (name, value))
        return b"".join([*lines, b"\r\n"])

    # The parser's side

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._begin_head()

    def _begin_head(self) -> None:
        self.url = b""
        self.headers = []
        self._awaits = Awaits.HEAD
        self._host_count = 0
        self._content_length = 0
        self._body_left = self.guard.settings.max_body_bytes
        self.expect_100_continue = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; those that decide about the framing are looked at."""
        if self._awaits is not Awaits.HEAD:
            return  # a trailer: it must not pass for a header that was checked
        name = name.lower()
        self.headers.append((name, value))
        if name in _NOTED:
            self._note(name, value)

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._content_length = int(value)  # the parser lets only digits through
        elif name == b"host":
            self._host_count += 1
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif value.lower() != b"chunked":
            raise refusals.bad_request(
                "Expected a body without Transfer-Encoding, or with `chunked` alone."
            )

    def on_headers_complete(self) -> None:
        """Check the head and give the request to the app."""
        parser = self.parser
        method = parser.get_method().decode("ascii")
        self._check_head(method)
        if parser.should_upgrade():
            return  # the same request comes again without the wish
        version = parser.get_http_version()
        if version == "0.9":
            raise refusals.bad_request("Expected an HTTP/1.1 request. Got one without a version.")
        if version not in ("1.1", "1.0"):
            raise Refusal(505, "This service speaks HTTP/1.1 and HTTP/1.0.")
        scope = self._make_scope(method, version)
        cycle = Cycle(
            scope,
            self,
            self.transport,
            self.flow,
            keep_alive=version == "1.1" and parser.should_keep_alive(),
            waits_for_continue=self.expect_100_continue and version == "1.1",
        )
        scope["extensions"] = {"calotype.connection": cycle}
        self._awaits = Awaits.BODY
        self._barren_bytes = 0
        self._incoming = cycle
        self._unanswered += 1
        self._head_bytes = 0
        if self._unanswered == 1:
            self._start(cycle, scope)
        else:
            self._queue.append((cycle, scope))
            self.flow.pause_reading()

    def _make_scope(self, method: str, version: str) -> dict[str, Any]:
        raw_path, query = _split_url(self.url)
        path = raw_path.decode("ascii")
        if "%" in path:
            path = urllib.parse.unquote(path)
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": method,
            "root_path": self.root_path,
            "path": self.root_path + path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
        }

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on, counting it."""
        self._barren_bytes = 0
        self._body_left -= len(body)
        if self._body_left < 0:
            raise refusals.body_too_large(self.guard.settings.max_body_bytes)
        cycle = self._incoming
        if cycle is not None and not cycle.is_answered:
            cycle.add_body(body)

    def on_message_complete(self) -> None:
        """Mark the end of a body."""
        if self._awaits is not Awaits.BODY:
            return  # a request that comes again without its wish to upgrade
        self._awaits = Awaits.NEXT
        cycle = self._incoming
        if cycle is not None:
            cycle.more_body = False
            cycle.wake()

    def _start(self, cycle: Cycle, scope: dict[str, Any]) -> None:
        self._active = cycle
        task = self.loop.create_task(cycle.run(self._any_app, scope))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # Limits

    def _check_head(self, method: str) -> None:
        settings = self.guard.settings
        if self._is_surplus:
            raise refusals.overloaded(
                f"The service has {settings.max_connections} connections (max_connections)."
            )
        if self._unanswered >= MAX_PIPELINED:
            raise refusals.overloaded(f"{MAX_PIPELINED} requests of this connection are waiting.")
        self._check_sizes(is_long=self._head_bytes + self._fed_bytes > settings.max_header_bytes)
        if self._content_length > settings.max_body_bytes:
            raise refusals.body_too_large(settings.max_body_bytes)
        if self._host_count > 1:
            raise refusals.bad_request("Expected one Host header. Got several.")
        if method == "CONNECT":
            raise refusals.method_not_allowed("GET, HEAD, OPTIONS, POST")

    def _check_sizes(self, *, is_long: bool) -> None:
        settings = self.guard.settings
        if len(self.url) > settings.max_url_bytes:
            raise Refusal(
                414,
                f"The URL is longer than {settings.max_url_bytes:,} bytes (max_url_bytes). "
                "Send the data in the body.",
            )
        if len(self.headers) > settings.max_headers:
            raise Refusal(431, f"Expected at most {settings.max_headers} headers (max_headers).")
        if is_long and _size_of(self.headers) > settings.max_header_bytes:
            raise self._head_too_long()

    def _check_open_head(self, *, is_new: bool) -> None:
        """Check a head of which a part has come; `is_new` when it began in what came last."""
        limit = self.guard.settings.max_header_bytes
        self._check_sizes(is_long=self._fed_bytes > limit)
        if is_new and self._fed_bytes > limit:
            # The end of a long body may have come with it.
            self._head_bytes = len(self.url) + _size_of(self.headers)
        else:
            self._head_bytes += self._fed_bytes
        if self._head_bytes > limit + self.guard.settings.max_url_bytes:
            raise self._head_too_long()

    def _head_too_long(self) -> Refusal:
        limit = self.guard.settings.max_header_bytes
        return Refusal(431, f"Expected headers of at most {limit:,} bytes (max_header_bytes).")

    def _set_deadline(self) -> None:
        """Start the clock of what the caller owes us; while we owe an answer there is none."""
        settings = self.guard.settings
        if self._awaits is Awaits.BODY and self._unanswered <= 1:
            self._deadline_s = self.loop.time() + settings.body_timeout_s
        elif self._unanswered:
            self._deadline_s = math.inf
        elif self._awaits is Awaits.HEAD:
            self._deadline_s = self.loop.time() + settings.header_timeout_s
        else:
            self._deadline_s = self.loop.time() + settings.idle_timeout_s

    def check(self, now_s: float) -> None:
        """End the connection if the caller is overdue; called by the guard's sweep."""
        settings = self.guard.settings
        if not self.transport.get_write_buffer_size():
            self._unsent_since_s = None
        elif self._unsent_since_s is None:
            self._unsent_since_s = now_s
        elif now_s - self._unsent_since_s > settings.write_timeout_s:
            self._drop("slow reader")
            return
        if now_s < self._deadline_s or self._unsent_since_s is not None:
            return
        if self._awaits is Awaits.NOTHING:
            self.transport.abort()
        elif self._awaits is Awaits.BODY:
            self._refuse(refusals.too_slow("The body", settings.body_timeout_s))
        elif self._awaits is Awaits.HEAD and self._head_bytes:
            self._refuse(refusals.too_slow("The headers", settings.header_timeout_s))
        else:
            self._drop("idle" if self._awaits is Awaits.NEXT else "silent")

    def _drop(self, reason: str) -> None:
        self.guard.meter.close(reason)
        self._awaits = Awaits.NOTHING
        self._deadline_s = math.inf
        self.transport.abort()

    # Answers

    @property
    def default_lines(self) -> bytes:
        """Header lines that every answer has."""
        return self.guard.default_lines(self.server_state.default_headers)

    def on_answered(self, cycle: Cycle) -> None:
        """Go on with the next request, or end the connection."""
        self.server_state.total_requests += 1
        self._unanswered -= 1
        self._active = None
        if self.transport.is_closing():
            return
        if not cycle.keep_alive:
            self._end()
        elif self._queue:
            self._start(*self._queue.popleft())
        elif self._held is not None:
            self.transport.write(self._held)
            self._end()
        if self._awaits is not Awaits.NOTHING and (
            self._unanswered or self._awaits is not Awaits.BODY
        ):
            self._set_deadline()
        if not self._queue:
            self.flow.resume_reading()

    def answer_instead(self, cycle: Cycle, refusal: Refusal) -> None:
        """Answer for an app that failed; the connection lives on."""
        self.transport.write(
            refusal_answer(
                refusal,
                defaults=self.default_lines,
                sent=cycle.headers,
                close=not cycle.keep_alive,
            )
        )
        cycle.is_written = cycle.is_answered = True
        self.on_answered(cycle)

    def _refusal_of(self, error: httptools.HttpParserError, data: bytes) -> Refusal:
        cause = error.__context__
        if isinstance(cause, Refusal):
            return cause
        if isinstance(error, httptools.HttpParserInvalidMethodError) and (
            not self._head_bytes and _REQUEST_LINE.match(data)
        ):
            return refusals.method_not_allowed("GET, HEAD, OPTIONS, POST")
        if isinstance(cause, (UnicodeDecodeError, httptools.HttpParserError)) or cause is None:
            return refusals.bad_request("Expected an HTTP/1.1 request. Got something else.")
        logger.error("A request could not be parsed", exc_info=cause)
        return refusals.internal_error()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer in the app's place, in the order of the requests, and read no more requests."""
        self.guard.meter.refuse(refusal.status)
        cycle = self._incoming if self._awaits is Awaits.BODY else None
        sent: Headers = self.headers
        answer = refusal_answer(refusal, defaults=self.default_lines, sent=sent, close=True)
        self._awaits = Awaits.NOTHING
        if cycle is not None and not self._take_back(cycle):
            return
        if self._unanswered:
            self._held = answer
            self._deadline_s = math.inf
            return
        self.transport.write(answer)
        self._end()

    def _take_back(self, cycle: Cycle) -> bool:
        """Take the request that is coming in away from the app, unless it answers already."""
        if cycle.is_answered:
            self._end()
            return False
        cycle.abandon()
        if cycle.is_written:
            self.transport.close()  # half an answer cannot be taken back
            return False
        self._unanswered -= 1
        if self._active is cycle:
            self._active = None
        else:
            self._queue.pop()  # what is coming in was queued last
        return True

    def _end(self) -> None:
        """Close so that the answer arrives: closing with unread bytes would reset the line."""
        self._abandon_all()
        is_all_read = self._awaits is Awaits.NEXT
        self._awaits = Awaits.NOTHING
        self._deadline_s = self.loop.time() + LINGER_S
        if is_all_read:
            self.transport.close()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()

    def shutdown(self) -> None:
        """Answer what was accepted, then close; called by uvicorn when the service stops."""
        last = self._queue[-1][0] if self._queue else self._active
        if last is None:
            self.transport.close()
        else:
            last.keep_alive = False


def _split_url(url: bytes) -> tuple[bytes, bytes]:
    """Return path and query of a request target; one of a proxy has a scheme and a host too."""
    if url[:1] == b"/" and b"#" not in url:
        path, _, query = url.partition(b"?")
        return path, query
    parsed = httptools.parse_url(url)
    return parsed.path or b"/", parsed.query or b""


def _size_of(headers: Headers) -> int:
    return sum(len(name) + len(value) + _HEADER_OVERHEAD for name, value in headers)
