"""An image directory: a table that says where images lie, and of which category they are."""

from __future__ import annotations

import bisect
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from calotype import errors, files
from calotype.images import manifest
from calotype.images.formats import DEFAULT_LIMITS, ImageLimits
from calotype.images.manifest import (
    ImageDirectoryInfo,
    Origin,
    PendingTransformation,
)
from calotype.images.transformation import Mode, Transformation
from calotype.progress import SILENCE, Progress
from calotype.tables import ArrowTable

if TYPE_CHECKING:
    from calotype.images.reader import ImageReader

# Entries are made of so many rows at a time: few enough to stay in the processor's cache.
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image: where it lies and what its header says."""

    id: int
    path: str
    """Relative to the source, with forward slashes."""
    container: str | None
    """The archive that holds the image; None for a file of its own."""
    offset: int | None
    """Where the image begins in its container, in bytes."""
    length: int | None
    category: str | None
    width: int
    """In pixels, as stored: before any EXIF rotation."""
    height: int
    format: str
    bytes: int
    digest: str | None
    """SHA-256 of the content, when it was asked for."""


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that was seen and not taken."""

    path: str
    """Relative to the source; bytes that are no UTF-8 are escaped."""
    reason: str
    error_number: int | None


class ImageDirectory:
    """A set of images, perhaps labelled: what convert, split and apply make and others use.

    Attributes:
        path: its folder; None when it is temporary, made by `open` of a plain source.
        info: the content of its `image_directory.json`.
    """

    def __init__(self, folder: Path, info: ImageDirectoryInfo, *, is_temporary: bool) -> None:
        """Wrap a folder that was checked; use `load` or `open`."""
        self.path = None if is_temporary else folder
        self.info = info
        self._folder = folder
        self._row_group_ends: list[int] | None = None

    @classmethod
    def load(cls, path: str | Path, *, is_temporary: bool = False) -> ImageDirectory:
        """Read an image directory of ours.

        Args:
            path: its folder.
            is_temporary: the folder is soon removed, so that nobody should refer to it.

        Raises:
            InvalidDataset: the folder is no image directory, or it is damaged.
        """
        folder = Path(path)
        where = folder / manifest.INFO_NAME
        if not where.is_file():
            raise errors.InvalidDataset(
                "expected an image directory",
                where=str(folder),
                got="a folder without image_directory.json" if folder.is_dir() else "no folder",
                action=f"Make one with 'calotype convert {folder} OUT'.",
            )
        try:
            info = ImageDirectoryInfo.model_validate(files.read_json(where))
        except ValidationError as invalid:
            first = invalid.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise _damaged(where, f"{place}: {first['msg']}") from None
        directory = cls(folder, info, is_temporary=is_temporary)
        if directory._ends_of_row_groups()[-1] != info.counts.images:
            raise _damaged(folder / manifest.IMAGES_NAME, "another number of images")
        return directory

    @classmethod
    def open(
        cls,
        source: str | Path | ImageDirectory,
        *,
        limits: ImageLimits = DEFAULT_LIMITS,
        progress: Progress = SILENCE,
    ) -> AbstractContextManager[ImageDirectory]:
        """Open any source of images as an image directory.

        An image directory is loaded. A folder, archive or image file is converted into a temporary
        folder, which is removed when the context ends; the images stay where they are.

        Args:
            source: an image directory (ours or the retired designer's), a folder, an archive, or
                one image file.
            limits: the largest image that is accepted; larger ones are skipped.
            progress: told about the reading of headers.

        Raises:
            InvalidDataset: there is no usable image.
            InvalidArchive: the archive cannot be read.
        """
        from calotype.images import convert

        if isinstance(source, ImageDirectory):
            return contextlib.nullcontext(source)
        if (Path(source) / manifest.INFO_NAME).is_file():
            return contextlib.nullcontext(cls.load(source))
        return convert.converted(Path(source), limits=limits, progress=progress)

    def __len__(self) -> int:
        return self.info.counts.images

    @property
    def folder(self) -> Path:
        """The folder of its files, temporary or not."""
        return self._folder

    @property
    def categories(self) -> list[str]:
        """The names of the categories, sorted; empty when the images are not labelled."""
        return self.info.categories

    @property
    def is_labeled(self) -> bool:
        """Whether the images have categories."""
        return bool(self.info.categories)

    @property
    def pending(self) -> PendingTransformation | None:
        """The transformation that was applied and is carried out when an image is used."""
        return self.info.pending_transformation

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[ImageEntry]:
        """Yield the images in the order of their ids, in constant memory.

        Args:
            start: how many images to pass over; those before it are not read.
            stop: the image before which to end, counted from the first (None: the last).
        """
        for rows in self.tables(start, stop):
            for first in range(0, len(rows), _ROWS_AT_ONCE):
                columns = rows.slice(first, _ROWS_AT_ONCE).to_pydict().values()
                yield from itertools.starmap(ImageEntry, zip(*columns, strict=True))

    def tables(
        self, start: int = 0, stop: int | None = None, *, columns: Sequence[str] | None = None
    ) -> Iterator[ArrowTable]:
        """Yield the rows of `images.parquet` from `start` to before `stop`, by row group."""
        ends = self._ends_of_row_groups()
        start, stop, _ = slice(start, stop).indices(len(self))
        with _open_table(self._folder / manifest.IMAGES_NAME) as file:
            for group in range(bisect.bisect_right(ends, start), len(ends)):
                first = ends[group - 1] if group else 0
                if first >= stop:
                    return
                rows = file.read_row_group(group, columns=columns, use_threads=False)
                begin = max(start - first, 0)
                yield rows.slice(begin, max(min(stop, ends[group]) - first - begin, 0))

    def _ends_of_row_groups(self) -> list[int]:
        """Return how many rows end with each row group; at least one number."""
        if self._row_group_ends is None:
            path = self._folder / manifest.IMAGES_NAME
            try:
                metadata = pq.read_metadata(path)
            except (OSError, pa.ArrowException) as error:
                raise _damaged(path, str(error)) from error
            counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
            self._row_group_ends = list(itertools.accumulate(counts)) or [0]
        return self._row_group_ends

    def category_indices(self) -> NDArray[np.int32]:
        """Return the position in `categories` of each image's category, shape (images,).

        -1 stands for an image without one. It takes 4 bytes per image.
        """
        index_of = {name: index for index, name in enumerate(self.categories)}
        tables = self.tables(columns=["category"])
        names = itertools.chain.from_iterable(rows["category"].to_pylist() for rows in tables)
        return np.fromiter((index_of.get(name, -1) for name in names), np.int32, len(self))

    def ids(self) -> NDArray[np.int64]:
        """Return the ids of the images, ascending, shape (images,); 8 bytes per image."""
        tables = self.tables(columns=["id"])
        return np.concatenate([np.empty(0, np.int64), *(rows["id"].to_numpy() for rows in tables)])

    def skipped(self) -> Iterator[SkippedFile]:
        """Yield the files that were seen and not taken; a subset has none."""
        path = self._folder / manifest.SKIPPED_NAME
        if not path.is_file():
            return
        with _open_table(path) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE, use_threads=False):
                columns = batch.to_pydict().values()
                yield from itertools.starmap(SkippedFile, zip(*columns, strict=True))

    def reader(self) -> ImageReader:
        """Return a reader of the images' bytes; use it as a context manager, from any thread."""
        from calotype.images.reader import ImageReader

        return ImageReader(self.info.source, self._folder)

    def subset(self, ids: NDArray[np.int64], out: Path, *, origin: Origin) -> ImageDirectory:
        """Write another image directory that refers to some of the same images.

        Args:
            ids: which images, ascending; ids and order are kept.
            out: the folder to write.
            origin: how the subset comes about.

        Raises:
            AlreadyExists: `out` holds something of another origin.
            CannotWrite: `out` cannot be written.
        """
        from calotype.images.derive import write_subset

        write_subset(self, ids, out, origin=origin)
        return ImageDirectory.load(out)

    def with_pending(self, transformation: Transformation, mode: Mode, out: Path) -> ImageDirectory:
        """Write another image directory whose images are to be transformed when they are used.

        No pixel is touched; random steps are drawn anew at each use.

        Raises:
            InvalidDataset: a transformation was applied already.
            AlreadyExists: `out` holds something of another origin.
            CannotWrite: `out` cannot be written.
        """
        from calotype.images.derive import write_with_pending

        write_with_pending(
            self, PendingTransformation(mode=mode, transformation=transformation), out
        )
        return ImageDirectory.load(out)


def _open_table(path: Path) -> pq.ParquetFile:
    # pre_buffer would keep all that was read until the file is closed.
    return pq.ParquetFile(path, pre_buffer=False)


def _damaged(where: Path, got: str) -> errors.InvalidDataset:
    return errors.InvalidDataset(
        "expected a whole image directory of this version of Calotype",
        where=str(where),
        got=got,
        action="Make it again with 'calotype convert'.",
    )
