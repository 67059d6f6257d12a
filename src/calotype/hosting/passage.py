"""One request on its way through the front door: from a caller's connection to a replica and back.

No task, no future and no ASGI message is made for it: the parser's callbacks send it, and the
answer's frame writes it. A body is passed on when it is whole, so that a slow caller holds up
nobody but himself.
"""

from __future__ import annotations

import urllib.parse
from typing import Any, Final

from uvicorn.protocols.http.flow_control import FlowControl

from calotype.hosting import wire
from calotype.hosting.door_table import DoorTable, ServiceTarget, VersionTarget
from calotype.hosting.traffic import HEADER
from calotype.hosting.wire_client import ReplicaLink
from calotype.serving import refusals
from calotype.serving.app import new_id
from calotype.serving.connection import HttpConnection
from calotype.serving.cors import Cors
from calotype.serving.cycle import STATUS_LINES, Cycle
from calotype.serving.journal import Journal
from calotype.serving.protocol import GuardedProtocol
from calotype.serving.refusals import Refusal

_JOINED_BYTES: Final = 64 << 10
_WITHOUT_BODY: Final = frozenset({204, 304})
_HARMLESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})  # may be done twice
_MOST_TRIES: Final = 3
_GONE: Final = 499


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
    """A caller's connection: requests for services go to replicas, all others to an app."""

    passages: Passages
    found: ServiceTarget | None = None

    def _begin_head(self) -> None:
        super()._begin_head()
        self.found = None

    def _check_head(self, method: str) -> None:
        self.found = found = self.passages.table.find(_path(self.url))
        if found is not None:
            self._limit_body(found.max_body_bytes)
        super()._check_head(method)

    def _cors_of(self, cycle: Cycle | None) -> Cors:
        found = cycle.service if isinstance(cycle, Passage) else None if cycle else self.found
        return super()._cors_of(cycle) if found is None else found.cors

    def make_cycle(self, scope: dict[str, Any], *, keep_alive: bool, waits: bool) -> Cycle:
        """Return what carries a request: over the wire, or through the app."""
        kind = Cycle if self.found is None else Passage
        return kind(
            scope, self, self.transport, self.flow, keep_alive=keep_alive, waits_for_continue=waits
        )

    def _start(self, cycle: Cycle, scope: dict[str, Any]) -> None:
        if not isinstance(cycle, Passage):
            super()._start(cycle, scope)
            return
        self._active = cycle
        if self.flow.write_paused:  # the caller does not read the answers that he has
            task = self.loop.create_task(self._start_later(cycle, scope))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            cycle.begin(scope)

    async def _start_later(self, cycle: Passage, scope: dict[str, Any]) -> None:
        await self.flow.drain()
        cycle.begin(scope)


class Passage(Cycle):
    """One request for a service, and its answer.

    Attributes:
        service: whose.
    """

    __slots__ = (
        "_begun_s",
        "_connection",
        "_is_begun",
        "_is_sent",
        "_link",
        "_method",
        "_number",
        "_packed",
        "_passages",
        "_tries",
        "_version",
        "service",
    )

    def __init__(
        self,
        scope: dict[str, Any],
        owner: DoorConnection,
        transport: Any,
        flow: FlowControl,
        *,
        keep_alive: bool,
        waits_for_continue: bool,
    ) -> None:
        super().__init__(
            scope,
            owner,
            transport,
            flow,
            keep_alive=keep_alive,
            waits_for_continue=waits_for_continue,
        )
        assert owner.found is not None
        self._connection: HttpConnection = owner
        self._passages = owner.passages
        self.service = owner.found
        self._method: str = scope["method"]
        self._version: VersionTarget | None = None
        self._link: ReplicaLink | None = None
        self._packed = b""
        self._number = 0
        self._begun_s = 0.0
        self._tries = 0
        self._is_begun = False
        self._is_sent = False

    def begin(self, scope: dict[str, Any]) -> None:
        """Choose a version; send the request when all of it is there."""
        if self.disconnected:
            return
        by_name = dict(self.headers)
        if not by_name.get(b"x-request-id"):
            self.headers.append((b"x-request-id", new_id().encode("ascii")))
        self._is_begun = True
        try:
            self._version = self.service.version_for(by_name.get(HEADER))
            if not self._version.is_ready:
                raise _not_ready(self.service)
        except Refusal as refusal:
            self._refuse_soon(refusal)
            return
        self._packed = wire.pack_request(scope)
        if self.waits_for_continue:
            self.waits_for_continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self.more_body:
            self._send()

    def add_body(self, chunk: bytes) -> None:
        """Keep a part of the body."""
        passages = self._passages
        passages.held_bytes += len(chunk)
        self._chunks.append(chunk)
        self._pending_bytes += len(chunk)
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
        size = self._pending_bytes
        self._tries += 1
        self._begun_s = version.counts.begin()
        self._link = link
        self._number = link.send(self._packed, self._chunks or _EMPTY, size, self)
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
            self._transport.write(b"".join(start))
        elif len(body) > _JOINED_BYTES:
            self._transport.writelines((b"".join(start), body))
        else:
            self._transport.write(b"".join((*start, body)))
        self.is_written = self.is_answered = True
        self._owner.on_answered(self)

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
        self._owner.answer_instead(self, refusal)

    def _end(self, status: int) -> None:
        """Count the outcome and let go of the body."""
        if self._link is not None and self._version is not None:
            self._version.counts.end(status, self._begun_s)
            self._link = None
        self._passages.held_bytes -= self._pending_bytes
        self._pending_bytes = 0
        self._chunks = []


_EMPTY: Final = [b""]


def _path(url: bytes) -> bytes:
    """Return the path of a request target, decoded."""
    path = url.partition(b"?")[0]
    if path[:1] != b"/" or b"#" in path:
        parts = urllib.parse.urlsplit(url.decode("latin-1"))
        path = parts.path.encode("latin-1")
    return urllib.parse.unquote_to_bytes(path) if b"%" in path else path


def _not_ready(service: ServiceTarget) -> Refusal:
    return refusals.overloaded(f"The service '{service.name}' has no replica that is ready.")


def _replica_lost() -> Refusal:
    return Refusal(502, "The replica that held this request ended before it answered. Try again.")
