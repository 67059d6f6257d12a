"""An archive opened for positioned reads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from calotype.images.containers import OPEN_FLAGS
from calotype.images.formats import ReadAt, read_at


@contextlib.contextmanager
def opened(archive: Path) -> Generator[tuple[ReadAt, int]]:
    """Give a function that reads so many bytes at a position, and the size of the archive."""
    descriptor = os.open(archive, OPEN_FLAGS)
    try:
        size = os.fstat(descriptor).st_size
        yield lambda count, position: read_at(descriptor, count, position), size
    finally:
        os.close(descriptor)
