"""The images behind a scored dataset, for as long as they lie where they were scored."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calotype import errors
from calotype.evaluation.thumbnails import Thumbnails
from calotype.images.image_directory import ImageDirectory
from calotype.images.reader import ImageReader


@contextlib.contextmanager
def originals(run: Mapping[str, Any]) -> Generator[Thumbnails | None]:
    """Open the images that a scoring run has read, as its `run.json` names them.

    Gives None when they are not there any more, or have changed: a report without pictures is
    better than none, and better than one with the wrong ones.
    """
    with contextlib.ExitStack() as stack:
        thumbnails: Thumbnails | None = None
        images = run.get("images", {})
        if images.get("source") and Path(images["source"]).exists():
            with contextlib.suppress(errors.CalotypeError):
                directory = stack.enter_context(ImageDirectory.open(images["source"]))
                if directory.info.fingerprint == images.get("fingerprint"):
                    reader = stack.enter_context(directory.reader())
                    thumbnails = _Originals(directory, reader)
        yield thumbnails


class _Originals:
    """Reads single images of an image directory by their id."""

    def __init__(self, directory: ImageDirectory, reader: ImageReader) -> None:
        self._directory = directory
        self._reader = reader
        self._ids: NDArray[np.int64] = directory.ids()

    def read(self, image_id: int, path: str) -> bytes | None:
        position = int(np.searchsorted(self._ids, image_id))
        for entry in self._directory.entries(position, position + 1):
            if (entry.id, entry.path) == (image_id, path):
                with contextlib.suppress(errors.FileError):
                    return self._reader.read(entry)
        return None
