"""Decoded and resized images on disk, so that only the first epoch of a run decodes.

One unnamed file of the run's own, mapped into memory: the system keeps in memory what fits, and
nothing is left when the process ends, however it ends. Each image has its place, whose size follows
from its header, so that threads need no lock. Each process of a run keeps what it has decoded.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
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
        # What the disk lacks would be missing for the checkpoints.
        free = shutil.disk_usage(_existing(folder)).free
        ends = ends[ends <= min(limit_mb * _MEGABYTE, free // 2)]
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

    @property
    def size_mb(self) -> int:
        """The space that it may take, in whole MB."""
        return -(-int(self._starts[-1]) // _MEGABYTE)

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


def _existing(folder: Path | None) -> Path:
    """Return the folder, or the one where temporary files lie when it is not there."""
    return folder if folder is not None and folder.exists() else Path(tempfile.gettempdir())
