"""The images of a set as files for `run(mini_batch)`, and which image each of its rows is of."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from calotype import errors
from calotype.hosting.batch.mini_batches import Files, MiniBatch, failure_of
from calotype.images.image_directory import ImageDirectory, ImageEntry
from calotype.images.reader import ImageReader
from calotype.progress import Progress
from calotype.scored_dataset import PATH
from calotype.scoring.score import refused_files
from calotype.tables import ArrowTable

_SHOWN: Final = 10


class ImageItems:
    """The images of a set.

    Args:
        directory: the images.
        reader: of the set.
    """

    unit = "images"

    def __init__(self, directory: ImageDirectory, reader: ImageReader) -> None:
        self._directory = directory
        self._reader = reader
        self.fingerprint = directory.info.fingerprint
        self.refused = refused_files(directory, "skip")

    @classmethod
    @contextlib.contextmanager
    def opened(cls, source: Path, progress: Progress) -> Generator[ImageItems]:
        """Open any source of images.

        Raises:
            DatasetError: there are none.
        """
        with (
            ImageDirectory.open(source, progress=progress) as directory,
            directory.reader() as reader,
        ):
            yield cls(directory, reader)

    def __len__(self) -> int:
        return len(self._directory)

    def entries(self, start: int) -> Iterator[ImageEntry]:
        """Yield the images, but the first `start`."""
        return self._directory.entries(start)

    @contextlib.contextmanager
    def as_files(self, entries: Sequence[ImageEntry], *, parent: Path) -> Generator[Files]:
        """Give a file for each image; what lies in archives is unpacked, and removed at the end."""
        files = Files()
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="mini-batch-", dir=parent) as folder:
            for entry in entries:
                try:
                    own = self._reader.own_file(entry)
                    path = own or _unpacked(entry, self._reader, Path(folder))
                except errors.CalotypeError as error:
                    files.failures.append(failure_of(entry, error.number, str(error)))
                else:
                    files.entries.append(entry)
                    files.paths.append(path)
            yield files

    def matched(
        self, results: ArrowTable, batch: MiniBatch, entries: list[ImageEntry]
    ) -> tuple[ArrowTable, list[dict[str, Any]]]:
        """Say which image each row is of, where that is known, and count those without a row.

        With a row for each file, the first column says its path. With fewer, only the script
        knows.
        """
        count = results.num_rows
        if count == len(entries) and PATH not in results.column_names:
            paths = pa.array([entry.path for entry in entries], pa.string())
            return results.add_column(0, PATH, paths), []
        if count >= len(entries):
            return results, []
        names = [entry.path for entry in entries]
        listed = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        message = f"the script returned {count} rows for {len(names)} files; one of: {listed}"
        missing = {
            "id": None,
            "path": f"mini-batch {batch.number}",
            "error_number": errors.ScriptFailed.number,
            "message": message,
        }
        return results, [missing] * (len(names) - count)


def _unpacked(entry: ImageEntry, reader: ImageReader, folder: Path) -> Path:
    path = folder / entry.path  # no source gives a path that leads out of its folder
    data = reader.read(entry)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise errors.write_error(error, where=str(path)) from error
    return path
