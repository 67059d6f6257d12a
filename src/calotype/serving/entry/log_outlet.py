"""The way of a worker's lines into the log, which waits for no reader for long.

Scoring must not stop because nobody reads the log. A thread that writes would lose the last lines
of a script that crashes, and there would be threads in processes whose scripts like to fork.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from typing import Final

_PATIENCE_S: Final = 0.5  # for a reader that lags behind; then the line is dropped
_IMPATIENT_S: Final = 10.0  # afterwards no line waits: a slow reader costs a twentieth of the time
_UNLIMITED: Final = 1 << 30
_ATOMIC_BYTES: Final = 512 if sys.platform == "darwin" else 4096  # PIPE_BUF


class LogOutlet:
    """Writes to a descriptor that other processes have too.

    Args:
        descriptor: stays as it is, also in whether writing to it blocks.

    Attributes:
        lost: lines that were dropped since the last one that was written.
    """

    def __init__(self, descriptor: int) -> None:
        self.lost = 0
        self._own = _opened_anew(descriptor)
        self._descriptor = descriptor if self._own is None else self._own
        never_blocks = self._own is not None or _is_file(descriptor)
        # What a pipe with any room takes without blocking.
        self._most_bytes = _UNLIMITED if never_blocks else _ATOMIC_BYTES
        self._rest = b""
        self._patient_from_s = 0.0

    def write(self, line: bytes) -> None:
        """Write a line; it is dropped when there is no room for it soon."""
        # Half a line is finished before the next: by then there may be room.
        data, self._rest = self._rest + line, b""
        try:
            left = self._send(data)
        except OSError:  # nobody will ever read
            return
        if len(left) < len(line):
            self._rest, self.lost = left, 0
        else:
            self._rest = left[: len(left) - len(line)]
            self.lost += 1

    def _send(self, data: bytes) -> bytes:
        """Write what there is room for; return the rest."""
        now_s = time.monotonic()
        is_patient = now_s >= self._patient_from_s
        ends_s = now_s + _PATIENCE_S if is_patient else now_s
        may_block = self._most_bytes < _UNLIMITED
        while data:
            try:
                if not may_block or self._has_room(0.0):
                    data = data[os.write(self._descriptor, data[: self._most_bytes]) :]
                    continue
            except BlockingIOError:
                pass
            left_s = ends_s - time.monotonic()
            if left_s <= 0 or not self._has_room(left_s):
                if is_patient:
                    self._patient_from_s = time.monotonic() + _IMPATIENT_S
                break
        return data

    def _has_room(self, wait_s: float) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(wait_s * 1000))

    def close(self) -> None:
        """Give back what was opened."""
        if self._own is not None:
            os.close(self._own)
            self._own, self._descriptor = None, -1


def _is_file(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _opened_anew(descriptor: int) -> int | None:
    """Return the same pipe or terminal, opened so that writing to it never blocks, if possible.

    To set that on the descriptor itself would change it for all processes that share it.
    """
    if sys.platform != "linux" or _is_file(descriptor):
        return None
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # a socket, or a pipe of another user
        return None
