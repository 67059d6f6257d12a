"""One request on its way through the front door: from a caller's connection to a replica and back.

No task, no future and no ASGI message is made for it: the parser's callbacks send it, and the
answer's frame writes it. A body is passed on when it is whole, so that a slow caller holds up
nobody but himself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final

import httptools

from calotype.hosting import wire
from calotype.hosting.door_table import DoorTable, ServiceTarget, VersionTarget
from calotype.hosting.traffic import HEADER
from calotype.hosting.wire_client import ReplicaLink
from calotype.serving import refusals
from calotype.serving.app import new_id
from calotype.serving.cors import Cors
from calotype.serving.cycle import STATUS_LINES
from calotype.serving.journal import Journal
from calotype.serving.protocol import GuardedProtocol, split_target
from calotype.serving.refusals import Refusal
from calotype.serving.turn import Turn

_JOINED_BYTES: Final = 64 << 10
_WITHOUT_BODY: Final = frozenset({204, 304})
_HARMLESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})  # may be done twice
_MOST_TRIES: Final = 3
_GONE: Final = 499
_NO_SCOPE: Final[dict[str, Any]] = {}


class Passages:
    """What the requests of one door share.

    Args:
        table: finds services.
        journal: gets a line for each request that the door refuses.
        max_held_bytes: 503 when the bodies of all requests are longer.

    Attributes:
        held_bytes: of bodies of requests without an answer.
    """

    def __init__(self, table: DoorTable, journal: Journal, *, max_held_bytes: int) -> None:
        self.table = table
        self.journal = journal
        self.max_held_bytes = max_held_bytes
        self.held_bytes = 0


class DoorConnection(GuardedProtocol):
    """A caller's connection: requests for services go to replicas, all others to an app.

    Attributes:
        host: the caller's address.
        target: path and query of the latest request for a service.
        found: the service of the present request; None before its head was read.
    """

    passages: Passages
    host = ""
    target = "", b""
    found: ServiceTarget | None = None
    _known: ServiceTarget | None = None
    _known_url = b""
    _known_services: Mapping[bytes, ServiceTarget] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first request."""
        super().connection_made(transport)
        self.host = self.client[0] if self.client else ""

    def _begin_head(self) -> None:
        super()._begin_head()
        self.found = None

    def _check_head(self, method: str) -> None:
        # Callers ask for the same URL again and again.
        if self.url != self._known_url or self.passages.table.services is not self._known_services:
            self._look_up()
        self.found = found = self._known
        if found is not None:
            self._limit_body(found.max_body_bytes)
        super()._check_head(method)

    def _cors_of(self, turn: Turn | None) -> Cors:
        found = turn.service if isinstance(turn, Passage) else None if turn else self.found
        return super()._cors_of(turn) if found is None else found.cors

    def _look_up(self) -> None:
        table = self.passages.table
        self._known, self._known_url, self._known_services = None, self.url, table.services
        # What is no URL is refused when the rest of the head has been looked at.
        with contextlib.suppress(httptools.HttpParserError, UnicodeDecodeError):
            path, _, query = split_target(self.url)
            self._known = table.find(path.encode())
            self.target = path, query

    def make_turn(
        self, method: str, version: str, *, keep_alive: bool, waits: bool
    ) -> tuple[Turn, dict[str, Any]]:
        """Return what carries a request: over the wire, or through the app."""
        found = self.found
        if found is None:
            return super().make_turn(method, version, keep_alive=keep_alive, waits=waits)
        passage = Passage(self, found, method, keep_alive=keep_alive, waits_for_continue=waits)
        return passage, _NO_SCOPE

    def _start(self, turn: Turn, scope: dict[str, Any]) -> None:
        if not isinstance(turn, Passage):
            super()._start(turn, scope)
            return
        self._active = turn
        if self.flow.write_paused:  # the caller does not read the answers that he has
            task = self.loop.create_task(self._start_later(turn))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            turn.begin()

    async def _start_later(self, passage: Passage) -> None:
        await self.flow.drain()
        passage.begin()


class Passage(Turn):
    """One request for a service, and its answer.

    Attributes:
        service: whose.
    """

    __slots__ = (
        "_begun_s",
        "_chunks",
        "_connection",
        "_is_begun",
        "_is_sent",
        "_link",
        "_method",
        "_number",
        "_packed",
        "_passages",
        "_size",
        "_target",
        "_tries",
        "_version",
        "service",
    )

    def __init__(
        self,
        connection: DoorConnection,
        service: ServiceTarget,
        method: str,
        *,
        keep_alive: bool,
        waits_for_continue: bool,
    ) -> None:
        super().__init__(
            connection.headers, keep_alive=keep_alive, waits_for_continue=waits_for_continue
        )
        self._connection = connection
        self._passages = connection.passages
        self.service = service
        self._method = method
        self._target = connection.target
        self._version: VersionTarget | None = None
        self._link: ReplicaLink | None = None
        self._packed = b""
        self._chunks: list[bytes] = []
        self._size = 0
        self._number = 0
        self._begun_s = 0.0
        self._tries = 0
        self._is_begun = False
        self._is_sent = False

    def begin(self) -> None:
        """Choose a version; send the request when all of it is there."""
        if self.disconnected:
            return
        connection, headers = self._connection, self.headers
        by_name = dict(headers)
        if not by_name.get(b"x-request-id"):
            headers.append((b"x-request-id", new_id().encode("ascii")))
        self._is_begun = True
        try:
            self._version = self.service.version_for(by_name.get(HEADER))
            if not self._version.is_ready:
                raise _not_ready(self.service)
        except Refusal as refusal:
            self._refuse_soon(refusal)
            return
        path, query = self._target
        self._packed = wire.pack_request(
            self._method, path, query, headers, connection.host, connection.scheme or "http"
        )
        if self.waits_for_continue:
            self.waits_for_continue = False
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self.more_body:
            self._send()

    def add_body(self, chunk: bytes) -> None:
        """Keep a part of the body."""
        passages = self._passages
        passages.held_bytes += len(chunk)
        self._chunks.append(chunk)
        self._size += len(chunk)
        if passages.held_bytes > passages.max_held_bytes:
            raise refusals.overloaded(
                f"The bodies of all requests exceed {passages.max_held_bytes:,} bytes."
            )

    def wake(self) -> None:
        """Send the request if all of it is there now."""
        if self._is_begun and not self.more_body and not self._is_sent:
            self._send()

    def abandon(self) -> None:
        """Tell the replica that nobody waits for its answer."""
        if self.is_answered or self.disconnected:
            return
        self.disconnected = True
        if self._link is not None:
            self._link.cancel(self._number)
        self._end(_GONE)

    def _send(self) -> None:
        assert self._version is not None
        self._is_sent = True
        version = self._version
        link = version.pick()
        if link is None:
            self._refuse_soon(_not_ready(self.service))
            return
        size = self._size
        self._tries += 1
        self._begun_s = version.counts.begin()
        self._link = link
        self._number = link.send(self._packed, self._chunks, size, self)
        if self._tries == 1:
            for other in self.service.copies(version):
                other.copy(self._packed, self._chunks, size)

    def answered(self, status: int, head: bytes, body: bytes) -> None:
        """Write the answer."""
        assert self._version is not None
        line = self._version.header_line
        self._end(status)
        is_without_body = self._method == "HEAD"
        length = b"content-length: %d\r\n" % len(body)
        if status in _WITHOUT_BODY:
            is_without_body, length = True, b""
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        start = (STATUS_LINES[status], self._connection.default_lines, head, line, length, end)
        if is_without_body:
            self._connection.transport.write(b"".join(start))
        elif len(body) > _JOINED_BYTES:
            self._connection.transport.writelines((b"".join(start), body))
        else:
            self._connection.transport.write(b"".join((*start, body)))
        self.is_written = self.is_answered = True
        self._connection.on_answered(self)

    def lost(self, *, has_begun: bool) -> None:
        """Ask another replica, when that does nothing twice; else say what happened."""
        assert self._version is not None
        may_repeat = not has_begun or self._method in _HARMLESS
        if may_repeat and self._tries < _MOST_TRIES and self._version.is_ready:
            self._version.counts.forget()
            self._link = None
            self._send()
        else:
            refusal = _not_ready(self.service) if not has_begun else _replica_lost()
            self._refuse(refusal)

    def _refuse_soon(self, refusal: Refusal) -> None:
        """Refuse once the parser has returned, which may be about to read the next request."""
        self._is_sent = True
        if self._version is not None:
            self._version.counts.refuse(refusal.status)
        self._connection.loop.call_soon(self._refuse, refusal)

    def _refuse(self, refusal: Refusal) -> None:
        self._end(refusal.status)
        if self.disconnected or self.is_answered:
            return
        self._passages.journal.write(
            "refused",
            level="warning",
            status=refusal.status,
            message=refusal.message,
            service=self.service.name,
            request_id=dict(self.headers).get(b"x-request-id", b"").decode("latin-1"),
        )
        self._connection.answer_instead(self, refusal)

    def _end(self, status: int) -> None:
        """Count the outcome and let go of the body."""
        if self._link is not None and self._version is not None:
            self._version.counts.end(status, self._begun_s)
            self._link = None
        self._passages.held_bytes -= self._size
        self._size = 0
        self._chunks = []


def _not_ready(service: ServiceTarget) -> Refusal:
    return refusals.overloaded(f"The service '{service.name}' has no replica that is ready.")


def _replica_lost() -> Refusal:
    return Refusal(502, "The replica that held this request ended before it answered. Try again.")
