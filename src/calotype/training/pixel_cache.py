"""Decoded and resized images on disk, so that only the first epoch of a run decodes.

One unnamed file of the run's own, mapped into memory: the system keeps in memory what fits, and
nothing is left when the process ends, however it ends. Each image has its place, whose size follows
from its header, so that several processes could share it and threads need no lock.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_MEGABYTE = 1 << 20

Pixels = NDArray[np.uint8]


class PixelCache:
    """Keeps pixels by the index of their image.

    Args:
        sizes: the most bytes that each image may need. Those that no longer fit have no place.
        limit_mb: size of the cache, in MB.
        folder: where the file lies; None: where temporary files do.
    """

    def __init__(self, sizes: Sequence[int], *, limit_mb: int, folder: Path | None = None) -> None:
        ends = np.cumsum(np.asarray(sizes, np.int64))
        ends = ends[ends <= limit_mb * _MEGABYTE]
        self._starts = np.concatenate([np.zeros(1, np.int64), ends])
        self._shapes: list[tuple[int, int] | None] = [None] * len(ends)
        self._descriptor: int | None = None
        self._view: mmap.mmap | None = None
        if len(ends):
            self._open(int(ends[-1]), folder)

    def _open(self, size: int, folder: Path | None) -> None:
        # A disk that is full or read-only takes the cache away and nothing else.
        with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=folder) as file:
            os.ftruncate(file.fileno(), size)  # takes no space before it is written
            self._view = mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ)
            self._descriptor = os.dup(file.fileno())

    def __enter__(self) -> PixelCache:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None
        self._shapes = []
        self._view = None  # closed when the last array that looks into it is gone

    def get(self, index: int) -> Pixels | None:
        """Return the pixels of an image, shape (height, width, 3), or None; not to be changed."""
        shape = self._shapes[index] if index < len(self._shapes) else None
        if shape is None or self._view is None:
            return None
        height, width = shape
        start = int(self._starts[index])
        return np.frombuffer(self._view, np.uint8, height * width * 3, start).reshape(
            height, width, 3
        )

    def put(self, index: int, pixels: Pixels) -> None:
        """Keep the pixels of an image, if there is a place for them."""
        if self._descriptor is None or index >= len(self._shapes):
            return
        start, end = int(self._starts[index]), int(self._starts[index + 1])
        if pixels.nbytes > end - start:
            return
        # Not through the map: on a full disk that would end the process instead of the attempt.
        data = np.ascontiguousarray(pixels).data
        try:
            written = os.pwrite(self._descriptor, data, start)
        except OSError:
            return
        if written == pixels.nbytes:
            self._shapes[index] = (pixels.shape[0], pixels.shape[1])
