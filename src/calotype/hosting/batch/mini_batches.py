"""The images of a set as files, a few at a time: what `run(mini_batch)` of a script is given."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calotype import errors
from calotype.images.image_directory import ImageDirectory, ImageEntry
from calotype.images.reader import ImageReader


@dataclass(frozen=True, slots=True)
class MiniBatch:
    """Some neighbouring images of a set.

    Attributes:
        number: its place among all, from 0.
        entries: the images.
    """

    number: int
    entries: tuple[ImageEntry, ...]


@dataclass(frozen=True, slots=True)
class Files:
    """The images of a mini-batch on disk.

    Attributes:
        entries: those that could be read, in order.
        paths: their files.
        failures: rows of `errors.parquet` for the others.
    """

    entries: list[ImageEntry] = field(default_factory=list["ImageEntry"])
    paths: list[Path] = field(default_factory=list[Path])
    failures: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def mini_batches(
    directory: ImageDirectory, *, size: int, start: int = 0
) -> Generator[MiniBatch, None, None]:
    """Yield the images of a set in their order.

    Args:
        directory: the images.
        size: how many at a time.
        start: how many mini-batches to leave out at the beginning.
    """
    few: list[ImageEntry] = []
    number = start
    for entry in directory.entries(start * size):
        few.append(entry)
        if len(few) == size:
            yield MiniBatch(number, tuple(few))
            few, number = [], number + 1
    if few:
        yield MiniBatch(number, tuple(few))


@contextlib.contextmanager
def as_files(batch: MiniBatch, reader: ImageReader, *, parent: Path) -> Generator[Files]:
    """Give the files of a mini-batch; what lies in archives is unpacked, and removed at the end.

    Args:
        batch: the images.
        reader: of the set.
        parent: where the temporary folder is made.
    """
    files = Files()
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mini-batch-", dir=parent) as folder:
        for entry in batch.entries:
            try:
                path = reader.own_file(entry) or _unpacked(entry, reader, Path(folder))
            except errors.CalotypeError as error:
                files.failures.append(failure_of(entry, error.number, str(error)))
            else:
                files.entries.append(entry)
                files.paths.append(path)
        yield files


def failure_of(entry: ImageEntry, number: int, message: str) -> dict[str, Any]:
    """Return the row of `errors.parquet` for an image."""
    return {"id": entry.id, "path": entry.path, "error_number": number, "message": message}


def failures_of(entries: Sequence[ImageEntry], error: errors.CalotypeError) -> list[dict[str, Any]]:
    """Return the rows of `errors.parquet` for images that failed together."""
    return [failure_of(entry, error.number, str(error)) for entry in entries]


def _unpacked(entry: ImageEntry, reader: ImageReader, folder: Path) -> Path:
    path = folder / entry.path  # no source gives a path that leads out of its folder
    data = reader.read(entry)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise errors.write_error(error, where=str(path)) from error
    return path
