"""Which requests the workers have begun, and which they must not begin any more.

A fast worker has its next request lying ready in its socket. When the one before turns out to be
slow, the server takes that request back for another worker, without a word that a worker would have
to read first: both look into a page of memory that they share.

    worker: writes that it begins a request, then looks whether that was recalled
    server: writes that a request is recalled, waits until nobody can have missed it (a sweep, 20
            milliseconds), then looks whether the worker has begun it

Whatever the order, a request is begun once: a worker that finds it recalled leaves it and says so.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Final

ROWS: Final = 1024  # workers that have lived at nearly the same time, all reloads included


class Claims:
    """The page, seen from either side.

    Args:
        descriptor: what `claims_memory` gave.
    """

    def __init__(self, descriptor: int) -> None:
        self._cells = memoryview(mmap.mmap(descriptor, 0)).cast("d")

    def begin(self, row: int, number: float) -> bool:
        """Note that the worker of a row begins a request; say whether it may.

        Args:
            row: of the worker.
            number: of the request; those of one worker grow.
        """
        self._cells[2 * row] = number
        recalled = self._cells[2 * row + 1]
        return not 0 < recalled <= number

    def recall(self, row: int, number: float) -> None:
        """Let the worker of a row begin neither this request nor a later one."""
        self._cells[2 * row + 1] = number

    def begun(self, row: int) -> float:
        """Return the number of the latest request that the worker of a row has come to."""
        return self._cells[2 * row]

    def allow(self, row: int) -> None:
        """Let the worker of a row begin whatever it gets from now on."""
        self._cells[2 * row + 1] = 0.0

    def clear(self, row: int) -> None:
        """Forget the worker that had a row before."""
        self._cells[2 * row] = self._cells[2 * row + 1] = 0.0


def claims_memory() -> int:
    """Return a descriptor of memory that both sides can map."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("calotype-claims")
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, ROWS * 16)
    return descriptor
