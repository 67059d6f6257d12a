"""A server that notes what clients send and answers what a test tells it to.

It stands in for a service in states that a real one cannot be brought to at will: busy twice and
then not, gone and then back.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Call:
    """A request as it came in."""

    at_s: float
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer to give."""

    status: int
    body: bytes
    retry_after: str = ""


OK = Reply(200, b'["fine"]')
HANG_UP = Reply(0, b"")
"""Close the connection without an answer."""


class RecordingServer:
    """Gives its replies one after the other, then `OK` for ever."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.replies: list[Reply] = []
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    def reserve(self) -> None:
        """Take a free port, where connections are refused until `listen`."""
        handler = type("Handler", (_Handler,), {"recorder": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler, bind_and_activate=False)
        self._server.server_bind()
        self.port = self._server.server_port

    def listen(self) -> None:
        """Begin to answer, at the port that was reserved if one was."""
        if self._server is None:
            self.reserve()
        assert self._server is not None
        self._server.server_activate()
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def expect(self, *replies: Reply) -> None:
        """Forget what was, and prepare the next answers."""
        self.calls.clear()
        self.replies[:] = replies


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open, as those of the service do
    recorder: RecordingServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.recorder.calls.append(Call(time.monotonic(), self.path, headers, body))
        reply = self.recorder.replies.pop(0) if self.recorder.replies else OK
        if reply is HANG_UP:
            self.close_connection = True
            return
        self.send_response(reply.status)
        if reply.retry_after:
            self.send_header("Retry-After", reply.retry_after)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the test has the calls."""
