"""The front door's side of the wire: one connection to each replica, for all requests to it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from calotype.hosting import wire

_FIRST_PAUSE_S: Final = 0.05  # between attempts to connect, doubled each time
_LONGEST_PAUSE_S: Final = 1.0


class Receiver(Protocol):
    """Who waits for the answer to a request."""

    def answered(self, status: int, head: bytes, body: bytes) -> None:
        """Take the answer: status, header lines as they go to the caller, body."""
        ...

    def lost(self, *, has_begun: bool) -> None:
        """Learn that no answer comes; one that nobody has begun may go to another replica."""
        ...


class _Nobody:
    """Waits for the answer to a request whose caller has gone: the replica still works at it."""

    def answered(self, status: int, head: bytes, body: bytes) -> None:
        """Forget it."""

    def lost(self, *, has_begun: bool) -> None:
        """Forget it."""


_NOBODY: Final = _Nobody()


class ReplicaLink:
    """The way to one replica; connects again and again until it is retired.

    Args:
        name: of the replica.
        path: of its socket.
        changed: called when it becomes ready or is lost.

    Attributes:
        in_flight: how many requests it has.
        is_ready: whether requests may be sent.
        why_not: why not, for the log; empty while all goes well.
    """

    def __init__(self, name: str, path: str, *, changed: Callable[[], None] | None = None) -> None:
        self.name = name
        self.path = path
        self.in_flight = 0
        self.is_ready = False
        self.why_not = ""
        self._changed = changed or (lambda: None)
        self._is_retired = False
        self._attempted = asyncio.Event()
        self._connection: _Connection | None = None
        self._connector: asyncio.Task[None] | None = None

    def start(self, pause_s: float = 0.0) -> None:
        """Connect from now on, or after a pause."""
        self._connector = asyncio.get_running_loop().create_task(self._connect(pause_s))

    async def attempted(self, timeout_s: float) -> bool:
        """Wait for the first attempt to connect; return whether requests may be sent."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._attempted.wait(), timeout_s)
        return self.is_ready

    def send(self, head: bytes, body: Sequence[bytes], size: int, receiver: Receiver) -> int:
        """Send a request to a replica that is ready; return its number, for `cancel`.

        Args:
            head: what `wire.pack_request` made.
            body: its parts.
            size: of all parts.
            receiver: gets the answer.
        """
        connection = self._connection
        assert connection is not None
        self.in_flight += 1
        return connection.send(head, body, size, receiver)

    def cancel(self, number: int) -> None:
        """Tell the replica that the caller has gone; the receiver hears nothing any more."""
        if self._connection is not None:
            self._connection.cancel(number)

    def retire(self) -> None:
        """Send nothing more, take the answers that are still to come, then end."""
        self._is_retired = True
        self.is_ready = False
        if self._connector is not None:
            self._connector.cancel()
        if self._connection is not None:
            self._connection.leave()

    def abort(self) -> None:
        """End at once."""
        self.retire()
        if self._connection is not None:
            self._connection.abort()

    async def _connect(self, pause_s: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(pause_s)
        while True:
            try:
                await loop.create_unix_connection(lambda: _Connection(self), self.path)
            except OSError as error:
                self.why_not = error.strerror or str(error)
                self._attempted.set()
                pause_s = min(max(2 * pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
                await asyncio.sleep(pause_s)
            else:
                return

    def connected(self, connection: _Connection) -> None:
        """Take a connection into use: the replica has said hello."""
        if self._is_retired:
            connection.leave()
            return
        self._connection = connection
        self.is_ready = True
        self.why_not = ""
        self._attempted.set()
        self._changed()

    def leaving(self) -> None:
        """Send nothing more: the replica is about to end."""
        self.is_ready = False
        self.why_not = "it is about to end"
        self._changed()

    def lost(self, connection: _Connection, count: int) -> None:
        """Connect again; `count` requests were lost."""
        self.in_flight -= count
        pause_s = _LONGEST_PAUSE_S  # of one that does not say hello
        if self._connection is connection:
            pause_s = _FIRST_PAUSE_S
            self._connection = None
            self.is_ready = False
            self.why_not = self.why_not or "it has ended"
            self._changed()
        if not self._is_retired:
            self.start(pause_s)


class _Connection(asyncio.Protocol):
    """A replica that is connected."""

    def __init__(self, link: ReplicaLink) -> None:
        self._link = link
        self._reader = wire.FrameReader(self._take)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Receiver] = {}
        self._transport: asyncio.Transport | None = None
        self._begun: wire.Begun | None = None
        self._has_said_so = False
        self._unsent: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        begun = self._begun.number if self._begun is not None else 0
        lost, self._waiting = self._waiting, {}
        self._link.lost(self, len(lost))
        for number, receiver in lost.items():
            receiver.lost(has_begun=number <= begun)

    def send(self, head: bytes, body: Sequence[bytes], size: int, receiver: Receiver) -> int:
        number = next(self._numbers)
        self._waiting[number] = receiver
        self._write((wire.opening(wire.REQUEST, 0, head, size, number), *body))
        return number

    def cancel(self, number: int) -> None:
        if number in self._waiting:
            self._waiting[number] = _NOBODY
            self._write((wire.frame(wire.CANCEL, 0, b"", b"", number),))

    def leave(self) -> None:
        """Tell the replica that nothing more comes."""
        if not self._has_said_so:
            self._has_said_so = True
            self._write((wire.frame(wire.LEAVING, 0, b"", b"", 0),))

    def _write(self, parts: Sequence[bytes]) -> None:
        """Send this once all callers have been heard: many requests wake the replica up once."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent += parts

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(unsent)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _take(self, kind: int, status: int, head: bytes, body: bytes, number: int) -> None:
        if kind == wire.ANSWER:
            receiver = self._waiting.pop(number)
            self._link.in_flight -= 1
            receiver.answered(status, head, body)
        elif kind == wire.HELLO:
            self._greet(status, head)
        elif kind == wire.LEAVING:
            self._link.leaving()
            self.leave()

    def _greet(self, version: int, name: bytes) -> None:
        if version != wire.VERSION:
            self._link.why_not = f"it speaks version {version} of the wire"
            self.abort()
            return
        self._begun = wire.Begun.open(name.decode())
        self._link.connected(self)
