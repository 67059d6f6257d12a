"""What reads the content of images while they are converted: digests, duplicates, copies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from calotype import errors
from calotype.images.image_directory import ImageEntry
from calotype.images.manifest import COPY_NAME, SourceInfo
from calotype.images.reader import ImageReader
from calotype.images.skipped import SkippedList
from calotype.images.sources.source import Reason, Refused
from calotype.images.tar_writer import TarWriter
from calotype.tables import ArrowTable


@dataclass(frozen=True, slots=True)
class ContentOptions:
    """What is to be done with the contents; nothing is read when the first three are False."""

    copy: bool = False
    drop_duplicates: bool = False
    digest: bool = False
    fails_on_error: bool = False

    @property
    def reads(self) -> bool:
        """Whether the contents have to be read."""
        return self.copy or self.drop_duplicates or self.digest


NO_CONTENTS: Final = ContentOptions()


class Contents:
    """Reads the images of one source in order.

    Attributes:
        source: where the images lie afterwards.
    """

    def __init__(self, source: SourceInfo, folder: Path, options: ContentOptions) -> None:
        """Begin with no image.

        Args:
            source: where the images lie now.
            folder: the folder of the image directory, which takes the copy.
            options: what is to be done.
        """
        self.source = source
        self._options = options
        self._reader = ImageReader(source, folder)
        self._copy: TarWriter | None = None
        if options.copy:
            self.source = source.model_copy(update={"kind": "copy", "location": "."})
            self._copy = TarWriter(folder / COPY_NAME)
        self._seen: set[bytes] = set()

    def __enter__(self) -> Contents:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        if self._copy is not None:
            self._copy.close()

    def take(self, rows: ArrowTable, skipped: SkippedList) -> ArrowTable:
        """Return the rows with their digests, duplicates left out, and places in the copy.

        Args:
            rows: rows of `images.parquet`.
            skipped: takes the duplicates, and the images that turn out to be unreadable.

        Raises:
            UnreadableFile: an image cannot be read, and `fails_on_error` was set.
        """
        if not self._options.reads:
            return rows
        return pa.Table.from_pylist(list(self._taken(rows.to_pylist(), skipped)), rows.schema)

    def _taken(self, rows: list[dict[str, Any]], skipped: SkippedList) -> Iterator[dict[str, Any]]:
        for row in rows:
            try:
                data = self._reader.read(ImageEntry(**row))
            except errors.UnreadableFile:
                if self._options.fails_on_error:
                    raise
                skipped.add([Refused(row["path"], Reason.UNREADABLE)])
                continue
            digest = hashlib.sha256(data)
            if self._is_duplicate(digest.digest()):
                skipped.add([Refused(row["path"], Reason.DUPLICATE)])
                continue
            place: dict[str, Any] = {}
            if self._copy is not None:
                offset = self._copy.add(row["path"], data)
                place = {"container": COPY_NAME, "offset": offset, "length": len(data)}
            yield {**row, **place, "digest": digest.hexdigest()}

    def _is_duplicate(self, digest: bytes) -> bool:
        if not self._options.drop_duplicates:
            return False
        if digest in self._seen:
            return True
        self._seen.add(digest)
        return False
