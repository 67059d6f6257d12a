"""Reading the bytes of images, wherever they lie."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from calotype import errors
from calotype.images import manifest
from calotype.images.containers import OPEN_FLAGS, OpenContainers
from calotype.images.formats import read_at
from calotype.images.sources import unpacked
from calotype.images.sources.source import file_fingerprint

if TYPE_CHECKING:
    from calotype.images.image_directory import ImageEntry
    from calotype.images.manifest import SourceInfo


class ImageReader:
    """Reads images of one directory; safe to use from many threads at once.

    An image with a digest is checked against it, every other one against its size.
    """

    def __init__(self, source: SourceInfo, folder: Path) -> None:
        """Open no file yet.

        Args:
            source: where the images lie.
            folder: the folder of the image directory.
        """
        self._source = source
        self._location = folder / source.location
        self._root = self._location
        if self._source.kind not in ("folder", "copy"):
            self._root = self._location.parent
        self._containers = OpenContainers(self._locate)

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the containers."""
        self._containers.close()

    def read(self, entry: ImageEntry) -> bytes:
        """Return the content of an image file.

        Raises:
            UnreadableFile: the file is missing or has changed since the directory was made.
        """
        try:
            data = self._read_file(entry) if entry.container is None else self._read_member(entry)
        except OSError as error:
            raise self._changed(entry.path, error.strerror or "an I/O error") from error
        if len(data) != entry.bytes:
            raise self._changed(entry.path, "a file of another size")
        if entry.digest is not None and hashlib.sha256(data).hexdigest() != entry.digest:
            raise self._changed(entry.path, "a file of other content")
        return data

    def own_file(self, entry: ImageEntry) -> Path | None:
        """Return the file that is this image and nothing else; None for one inside a container.

        Raises:
            UnreadableFile: the file is missing or has changed since the directory was made.
        """
        if entry.container is not None:
            return None
        path = self._root / entry.path
        try:
            size = path.stat().st_size
        except OSError as error:
            raise self._changed(entry.path, error.strerror or "an I/O error") from error
        if size != entry.bytes:
            raise self._changed(entry.path, "a file of another size")
        return path.absolute()

    def _read_file(self, entry: ImageEntry) -> bytes:
        descriptor = os.open(f"{self._root}/{entry.path}", OPEN_FLAGS)
        try:
            return _read_all(descriptor, entry.bytes + 1, 0)  # one more shows that it has grown
        finally:
            os.close(descriptor)

    def _read_member(self, entry: ImageEntry) -> bytes:
        descriptor = self._containers.descriptor(entry.container or "")
        return _read_all(descriptor, entry.bytes, entry.offset or 0)

    def _locate(self, container: str) -> Path:
        """Return the file of a container; an unpacked archive is made again if it is gone."""
        if self._source.kind == "copy":
            return self._root / manifest.COPY_NAME
        if file_fingerprint(self._location) != self._source.fingerprint:
            raise self._changed(container, "an archive that has changed")
        if unpacked.is_container(container):
            return unpacked.plain_tar(self._location)
        return self._root / container

    def _changed(self, where: str, got: str) -> errors.UnreadableFile:
        return errors.UnreadableFile(
            f"expected the file of {self._location} from which the image directory was made",
            where=where,
            got=got,
            action="Put it back, or make the image directory again with 'calotype convert'.",
        )


def _read_all(descriptor: int, count: int, position: int) -> bytes:
    """Read `count` bytes, or up to the end of the file."""
    data = read_at(descriptor, count, position)
    if len(data) == count or not data:
        return data
    parts = [data]
    done = len(data)
    while done < count and (data := read_at(descriptor, count - done, position + done)):
        parts.append(data)
        done += len(data)
    return b"".join(parts)
