"""What the front door and a replica say to each other, over one unix socket for all requests.

A frame is a header of fixed size and two parts. A request's first part is `marshal` of a tuple:
both ends are our own processes, and it costs half a microsecond. An answer's are the header lines
as they go to the caller.
"""

from __future__ import annotations

import marshal
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from calotype.serving.exchange import Headers, Request

VERSION: Final = 2
FRAME: Final = struct.Struct("<BHIIQ")
"""Kind, status, length of the first part, length of the second, number of the request."""

HELLO: Final = 1
"""The replica's first: status is `VERSION`, the first part the file of `Begun`."""
REQUEST: Final = 2
ANSWER: Final = 3
CANCEL: Final = 4
"""The caller of a request has gone; its answer comes all the same, and may be empty."""
LEAVING: Final = 5
"""The replica's: send no more requests. The door's: none will come."""

JOINED_BYTES: Final = 64 << 10
"""A longer second part is not copied to stand behind the first."""

Take = Callable[[int, int, bytes, bytes, int], None]
"""Gets kind, status, both parts and number of a frame."""


def frame(kind: int, status: int, head: bytes, body: bytes, number: int) -> bytes:
    """Return one frame as bytes."""
    return b"".join((FRAME.pack(kind, status, len(head), len(body), number), head, body))


def opening(kind: int, status: int, head: bytes, size: int, number: int) -> bytes:
    """Return a frame up to its second part of `size` bytes, which follows in pieces."""
    return FRAME.pack(kind, status, len(head), size, number) + head


def pack_request(
    method: str, path: str, query: bytes, headers: Headers, client: str, scheme: str
) -> bytes:
    """Return the first part of a request; see `Request` for what its parts are."""
    return marshal.dumps((method, path, query, headers, client, scheme), 4)


def unpack_request(head: bytes) -> Request:
    """Return the request whose first part `pack_request` made, without id and body."""
    values = marshal.loads(head)  # noqa: S302 - from our own front door; nobody else may connect
    method, path, query, headers, client, scheme = values
    return Request(method, path, query, headers, b"", "", client, scheme, time.monotonic())


class FrameReader:
    """Puts frames together from whatever pieces a socket gives; a long body is copied once.

    Args:
        take: gets each frame as soon as it is whole.
    """

    def __init__(self, take: Take) -> None:
        self._take = take
        self._held = b""
        self._begun: tuple[int, int, bytes, int] | None = None  # kind, status, first part, number
        self._parts: list[bytes] = []
        self._missing = 0

    def feed(self, data: bytes) -> None:
        """Take what came."""
        if self._begun is not None:
            data = self._continue(self._begun, data)
        elif self._held:
            data = self._held + data
            self._held = b""
        at, size = 0, len(data)
        while size - at >= FRAME.size:
            kind, status, head_size, body_size, number = FRAME.unpack_from(data, at)
            middle = at + FRAME.size + head_size
            if size < middle:
                break
            end = middle + body_size
            head = data[at + FRAME.size : middle]
            if size < end:
                self._begun = (kind, status, head, number)
                self._parts.append(data[middle:])
                self._missing = end - size
                return
            self._take(kind, status, head, data[middle:end], number)
            at = end
        if at < size:
            self._held = data[at:]

    def _continue(self, begun: tuple[int, int, bytes, int], data: bytes) -> bytes:
        """Add to a long body; return what lies behind it."""
        self._missing -= len(data)
        if self._missing > 0:
            self._parts.append(data)
            return b""
        rest = data[len(data) + self._missing :]
        self._parts.append(data[: len(data) + self._missing])
        body = b"".join(self._parts)
        self._begun, self._parts, self._missing = None, [], 0
        kind, status, head, number = begun
        self._take(kind, status, head, body, number)
        return rest


class Begun:
    """The number of the latest request that a replica has begun, in memory that both ends see.

    When a replica is killed, the door knows by it which requests nobody has begun, without a word
    for each of them while all goes well.

    Args:
        descriptor: of a file of eight bytes; closed here.
    """

    def __init__(self, descriptor: int) -> None:
        try:
            self._cell = memoryview(mmap.mmap(descriptor, 8)).cast("Q")
        finally:
            os.close(descriptor)

    @classmethod
    def make(cls, beside: Path) -> tuple[Begun, str]:
        """Make the file; who reads it too removes it once it is open."""
        descriptor, name = tempfile.mkstemp(prefix=f"{beside.name}.", dir=beside.parent)
        os.ftruncate(descriptor, 8)
        return cls(descriptor), name

    @classmethod
    def open(cls, name: str) -> Begun:
        """Open the file that `make` has made, and remove its name."""
        found = cls(os.open(name, os.O_RDWR))
        os.unlink(name)
        return found

    @property
    def number(self) -> int:
        """Of the latest request."""
        return self._cell[0]

    @number.setter
    def number(self, value: int) -> None:
        self._cell[0] = value
