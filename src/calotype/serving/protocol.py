"""HTTP/1.1 that a hostile or broken client cannot hold up: uvicorn's protocol with limits.

Requests are refused here, before the app sees them, with the same JSON as all other errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import urllib.parse
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from calotype.serving import refusals
from calotype.serving.connection import Awaits, HttpConnection
from calotype.serving.cycle import Cycle
from calotype.serving.guard import Guard
from calotype.serving.refusals import Refusal
from calotype.serving.turn import Turn

logger = logging.getLogger(__name__)

_NOTED = frozenset({b"content-length", b"transfer-encoding", b"expect", b"host"})
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_REQUEST_LINE = re.compile(rb"[A-Za-z][\w-]{0,31} /\S* HTTP/1\.[01]\r\n")


def guarded_protocol(guard: Guard) -> type[GuardedProtocol]:
    """Return the protocol class for `uvicorn.Config(http=...)`, bound to the process's guard."""
    return type("BoundProtocol", (GuardedProtocol,), {"guard": guard})


class GuardedProtocol(HttpConnection):
    """One connection: parses requests and gives them to the app, within the limits."""

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
        turn, scope = self.make_turn(
            method,
            version,
            keep_alive=version == "1.1"
            and parser.should_keep_alive()
            and not self.guard.is_leaving,
            waits=self.expect_100_continue and version == "1.1",
        )
        self._awaits = Awaits.BODY
        self._barren_bytes = 0
        self._incoming = turn
        self._unanswered += 1
        self._head_bytes = 0
        if self._unanswered == 1:
            self._start(turn, scope)
        else:
            self._queue.append((turn, scope))
            self.flow.pause_reading()

    def make_turn(
        self, method: str, version: str, *, keep_alive: bool, waits: bool
    ) -> tuple[Turn, dict[str, Any]]:
        """Return what carries the request whose head has been read, and its ASGI scope.

        Args:
            method: in capitals.
            version: of HTTP.
            keep_alive: whether the caller wants to go on.
            waits: whether the caller sends the body only when asked to.
        """
        path, raw_path, query = split_target(self.url)
        scope: dict[str, Any] = {
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
        cycle = Cycle(
            scope, self, self.transport, self.flow, keep_alive=keep_alive, waits_for_continue=waits
        )
        scope["extensions"] = {"calotype.connection": cycle}
        return cycle, scope

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on, counting it."""
        self._barren_bytes = 0
        self._body_left -= len(body)
        if self._body_left < 0:
            raise refusals.body_too_large(self._most_body)
        turn = self._incoming
        if turn is not None and not turn.is_answered:
            turn.add_body(body)

    def on_message_complete(self) -> None:
        """Mark the end of a body."""
        if self._awaits is not Awaits.BODY:
            return  # a request that comes again without its wish to upgrade
        self._awaits = Awaits.NEXT
        turn = self._incoming
        if turn is not None:
            turn.more_body = False
            turn.wake()

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


def split_target(url: bytes) -> tuple[str, bytes, bytes]:
    """Return path, undecoded path and query of a request target.

    One that is meant for a proxy has a scheme and a host too.
    """
    if url[:1] == b"/" and b"#" not in url:
        raw_path, _, query = url.partition(b"?")
    else:
        parsed = httptools.parse_url(url)
        raw_path, query = parsed.path or b"/", parsed.query or b""
    path = raw_path.decode("ascii")
    return urllib.parse.unquote(path) if "%" in path else path, raw_path, query
