"""Blobs in a folder of this machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final

from calotype import errors, files
from calotype.workspace.blobs import CHUNK_BYTES, Blob

_BATCH: Final = 500
_FEW: Final = 16  # more are brought to the disk by one sync of all, which is many times faster


@dataclass(frozen=True, slots=True)
class _Aside:
    path: Path
    digest: str
    bytes: int


class BlobFolder:
    """Blobs as files `blobs/ab/abcdef…`; each appears whole, by a rename.

    Args:
        folder: made when the first blob is stored.
    """

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "blobs"
        self._temporary = folder / "temporary"

    def put_files(self, paths: Sequence[Path]) -> list[tuple[str, int]]:
        """Store files and return digest and size of each."""
        stored: list[tuple[str, int]] = []
        for start in range(0, len(paths), _BATCH):
            stored += self._put_batch(paths[start : start + _BATCH])
        # The first may have become old, and been collected, while the last were written.
        if len(paths) > _BATCH and not all([self._renew(*known) for known in stored]):
            return self.put_files(paths)
        return stored

    def put_bytes(self, digest: str, content: bytes) -> None:
        """Store a short blob."""
        with self._writing() as begun:
            if not self._renew(digest, len(content)):
                path = self._aside()
                begun.append(_Aside(path, digest, len(content)))
                path.write_bytes(content)
                self._publish(begun)

    def open(self, digest: str) -> BinaryIO:
        """Return a stream of a blob."""
        return self._path(digest).open("rb")

    def path(self, digest: str) -> str:
        """Return the file of a blob."""
        return str(self._path(digest))

    def all(self) -> Iterator[Blob]:
        """Give all blobs."""
        for folder in _entries(self._blobs):
            for entry in _entries(Path(folder.path)):
                with contextlib.suppress(FileNotFoundError):  # another `gc` was faster
                    status = entry.stat()
                    yield Blob(entry.name, status.st_size, status.st_mtime)

    def delete(self, digest: str, *, before: float) -> bool:
        """Delete a blob unless it is younger than that."""
        path = self._path(digest)
        try:
            if path.stat().st_mtime > before:
                return False
            gone = self._aside()
            gone.parent.mkdir(exist_ok=True)
            path.replace(gone)
            # Whoever stored it again since we looked has either made it young, or missed it.
            if gone.stat().st_mtime > before:
                gone.replace(path)
                return False
            gone.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise errors.write_error(error, where=str(path)) from error
        return True

    def tidy(self, *, before: float) -> None:
        """Delete what killed writers left."""
        for entry in _entries(self._temporary):
            with contextlib.suppress(FileNotFoundError):
                if entry.stat().st_mtime <= before:
                    os.unlink(entry.path)

    def _put_batch(self, paths: Sequence[Path]) -> list[tuple[str, int]]:
        stored: list[tuple[str, int]] = []
        with self._writing() as begun:
            for path in paths:
                known = _digest(path)
                if not self._renew(*known):
                    known = self._copy(path, begun)
                stored.append(known)
            self._publish(begun)
        return stored

    @contextlib.contextmanager
    def _writing(self) -> Generator[list[_Aside]]:
        begun: list[_Aside] = []
        try:
            self._temporary.mkdir(parents=True, exist_ok=True)
            yield begun
        except OSError as error:
            raise errors.write_error(error, where=str(self._blobs.parent)) from error
        finally:
            for one in begun:
                one.path.unlink(missing_ok=True)

    def _renew(self, digest: str, size: int) -> bool:
        """Make a blob young, so that no `gc` takes it; return whether it is there."""
        path = self._path(digest)
        try:
            if path.stat().st_size != size:
                return False
            os.utime(path)
            path.stat()  # a `gc` may have had it between finding the file and making it young
        except FileNotFoundError:
            return False
        return True

    def _copy(self, path: Path, begun: list[_Aside]) -> tuple[str, int]:
        target = self._aside()
        begun.append(_Aside(target, "", 0))
        digest, size = hashlib.sha256(), 0
        with _readable(path) as source, target.open("xb") as file:
            # The digest of what was copied, as the file may have changed since it was looked at.
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
        begun[-1] = _Aside(target, digest.hexdigest(), size)
        return digest.hexdigest(), size

    def _publish(self, begun: list[_Aside]) -> None:
        """Give what was written its names, once its content is on the disk."""
        if len(begun) > _FEW and hasattr(os, "sync"):
            os.sync()
        else:
            for one in begun:
                files.flush(one.path)
        folders = {self._path(one.digest).parent for one in begun}
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for one in begun:
            one.path.replace(self._path(one.digest))
        for folder in {*folders, self._blobs} if begun else ():
            _flush_folder(folder)

    def _aside(self) -> Path:
        return self._temporary / uuid.uuid4().hex

    def _path(self, digest: str) -> Path:
        return self._blobs / digest[:2] / digest


def _digest(path: Path) -> tuple[str, int]:
    with _readable(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()


@contextlib.contextmanager
def _readable(path: Path) -> Generator[BufferedReader]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise errors.UnreadableFile(
            "expected a readable file", where=str(path), got=error.strerror or "an I/O error"
        ) from error
    with file:
        yield file


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
