"""What one connection owes and is owed: limits on the head, deadlines, answers in their order.

What comes over it is parsed elsewhere.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from enum import IntEnum
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from calotype.serving import refusals
from calotype.serving.cors import Cors
from calotype.serving.cycle import Cycle
from calotype.serving.exchange import Headers
from calotype.serving.guard import LINGER_S, MAX_PIPELINED, Guard, refusal_answer
from calotype.serving.refusals import Refusal
from calotype.serving.turn import Turn

_HEADER_OVERHEAD = len(": \r\n")


class Awaits(IntEnum):
    """What the next byte on a connection belongs to."""

    HEAD = 0
    BODY = 1
    NEXT = 2
    NOTHING = 3
    """A request was refused: what still comes is thrown away."""


class HttpConnection(HttpToolsProtocol):
    """One connection: starts the app for its requests in their order, enforces the limits."""

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
        self._unanswered: int = 0
        self._active: Turn | None = None
        self._incoming: Turn | None = None
        self._queue: deque[tuple[Turn, dict[str, Any]]] = deque()
        self._held: bytes | None = None
        self._is_surplus = False
        self._head_bytes = 0
        self._fed_bytes = 0
        self._barren_bytes = 0
        self._begin_head()

    def _begin_head(self) -> None:
        self.url = b""
        self.headers = []
        self._awaits = Awaits.HEAD
        self._host_count = 0
        self._content_length = 0
        self._limit_body(self.guard.settings.max_body_bytes)
        self.expect_100_continue = False

    # Limits

    def _limit_body(self, most_bytes: int) -> None:
        self._most_body = self._body_left = most_bytes

    def _check_head(self, method: str) -> None:
        settings = self.guard.settings
        if self._is_surplus:
            raise refusals.overloaded(
                f"The service has {settings.max_connections} connections (max_connections)."
            )
        if self._unanswered >= MAX_PIPELINED:
            raise refusals.overloaded(f"{MAX_PIPELINED} requests of this connection are waiting.")
        self._check_sizes(is_long=self._head_bytes + self._fed_bytes > settings.max_header_bytes)
        if self._content_length > self._most_body:
            raise refusals.body_too_large(self._most_body)
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

    def on_answered(self, turn: Turn) -> None:
        """Go on with the next request, or end the connection."""
        self.server_state.total_requests += 1
        self._unanswered -= 1
        self._active = None
        if self.transport.is_closing():
            return
        if not turn.keep_alive:
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

    def _cors_of(self, turn: Turn | None) -> Cors:
        """Return which pages may read our own answer to a request; None: the one that comes in."""
        return self.guard.cors

    def answer_instead(self, turn: Turn, refusal: Refusal) -> None:
        """Answer for an app that failed; the connection lives on."""
        self.transport.write(
            refusal_answer(
                refusal,
                defaults=self.default_lines,
                sent=turn.headers,
                close=not turn.keep_alive,
                cors=self._cors_of(turn),
            )
        )
        turn.is_written = turn.is_answered = True
        self.on_answered(turn)

    def _start(self, turn: Turn, scope: dict[str, Any]) -> None:
        assert isinstance(turn, Cycle)
        self._active = turn
        task = self.loop.create_task(turn.run(self._any_app, scope))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer in the app's place, in the order of the requests, and read no more requests."""
        self.guard.meter.refuse(refusal.status)
        cycle = self._incoming if self._awaits is Awaits.BODY else None
        answer = refusal_answer(
            refusal,
            defaults=self.default_lines,
            sent=self.headers,
            close=True,
            cors=self._cors_of(None),
        )
        self._awaits = Awaits.NOTHING
        if cycle is not None and not self._take_back(cycle):
            return
        if self._unanswered:
            self._held = answer
            self._deadline_s = math.inf
            return
        self.transport.write(answer)
        self._end()

    def _take_back(self, turn: Turn) -> bool:
        """Take the request that is coming in away from the app, unless it answers already."""
        if turn.is_answered:
            self._end()
            return False
        turn.abandon()
        if turn.is_written:
            self.transport.close()  # half an answer cannot be taken back
            return False
        self._unanswered -= 1
        if self._active is turn:
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

    def shutdown_later(self) -> None:
        """Let the answer that is being made be the last one, unless it is on its way already."""
        last = self._queue[-1][0] if self._queue else self._active
        if last is not None and not last.is_written:
            last.keep_alive = False

    def _abandon_all(self) -> None:
        if self._active is not None:
            self._active.abandon()
        for cycle, _ in self._queue:
            cycle.abandon()
        self._active = None
        self._queue.clear()


def _size_of(headers: Headers) -> int:
    return sum(len(name) + len(value) + _HEADER_OVERHEAD for name, value in headers)
