"""Blobs on a store that fsspec knows: S3, memory, SFTP…"""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from calotype import errors
from calotype.workspace import store_url
from calotype.workspace.blobs import Blob

_THREADS: Final = 8
# An object of that age is written again, so that no `gc`, which spares an hour, takes it.
_OLD_S: Final = 1200.0
# Their objects appear whole; elsewhere a file grows while it is written.
_WHOLE_AT_ONCE: Final = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})


class BlobObjects:
    """Blobs as objects `blobs/ab/abcdef…`.

    Args:
        url: of fsspec.

    Raises:
        MissingDependency: the package of that kind of store is not installed.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self._url = url
        try:
            # Other processes write too: what was listed a moment ago says nothing.
            found: Any = fsspec.url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise errors.MissingDependency(
                f"expected a package for artifacts at '{url.partition(':')[0]}:'",
                got=str(error),
                action="For S3: pip install 'calotype[s3]'.",
            ) from error
        self._store, root = cast("tuple[Any, str]", found)
        self._root = root.rstrip("/")
        self._is_whole_at_once = url.partition(":")[0] in _WHOLE_AT_ONCE

    def put_files(self, paths: Sequence[Path]) -> list[tuple[str, int]]:
        """Store files and return digest and size of each."""
        started_s = time.monotonic()
        with ThreadPoolExecutor(_THREADS) as threads:
            stored = list(threads.map(self._put_file, paths))
            if time.monotonic() - started_s > _OLD_S:
                # The first may have become old, and been collected, while the last were written.
                stored = list(threads.map(self._put_file, paths))
        return stored

    def put_bytes(self, digest: str, content: bytes) -> None:
        """Store a short blob."""
        with self._writing():
            if not self._is_young(digest, len(content)):
                with self._named(digest) as name:
                    self._store.pipe_file(name, content)

    def open(self, digest: str) -> BinaryIO:
        """Return a stream of a blob."""
        try:
            return self._store.open(self.path(digest), "rb")
        except OSError:
            raise
        except Exception as error:  # each store has exceptions of its own without a common base
            raise OSError(f"{type(error).__name__}: {error}") from error

    def path(self, digest: str) -> str:
        """Return the name of a blob's object."""
        return f"{self._root}/blobs/{digest[:2]}/{digest}"

    def all(self) -> Iterator[Blob]:
        """Give all blobs."""
        for name, found in self._listed("blobs"):
            yield Blob(name.rpartition("/")[2], int(found["size"]), _modified_s(found))

    def delete(self, digest: str, *, before: float) -> bool:
        """Delete a blob unless it is younger than that."""
        try:
            if _modified_s(self._store.info(self.path(digest))) > before:
                return False
        except FileNotFoundError:
            return False
        return self._remove(self.path(digest))

    def tidy(self, *, before: float) -> None:
        """Delete what killed writers left."""
        for name, found in self._listed("temporary"):
            if _modified_s(found) <= before:
                self._remove(name)

    def _put_file(self, path: Path) -> tuple[str, int]:
        before, digest, size = _looked_at(path)
        with self._writing():
            if not self._is_young(digest, size):
                with self._named(digest) as name:
                    self._store.put_file(str(path), name)
        if _state(path) != before:
            # What was sent may have another digest than its name says.
            self._store.rm_file(self.path(digest))
            raise errors.UnreadableFile(
                "expected a file that nobody changes", where=str(path), got="one that changed"
            )
        return digest, size

    @contextlib.contextmanager
    def _named(self, digest: str) -> Generator[str]:
        name = self.path(digest)
        if self._is_whole_at_once:
            yield name
            return
        temporary = f"{self._root}/temporary/{uuid.uuid4().hex}"
        self._store.makedirs(f"{self._root}/temporary", exist_ok=True)
        yield temporary
        self._store.makedirs(name.rpartition("/")[0], exist_ok=True)
        self._store.mv(temporary, name)

    def _remove(self, name: str) -> bool:
        with self._writing():
            try:
                self._store.rm_file(name)
            except FileNotFoundError:  # another `gc` was faster
                return False
            return True

    def _is_young(self, digest: str, size: int) -> bool:
        try:
            found = self._store.info(self.path(digest))
        except FileNotFoundError:
            return False
        return found["size"] == size and _modified_s(found) > time.time() - _OLD_S

    def _listed(self, part: str) -> list[tuple[str, dict[str, Any]]]:
        with contextlib.suppress(FileNotFoundError):
            found = self._store.find(f"{self._root}/{part}", detail=True)
            return list(cast("dict[str, dict[str, Any]]", found).items())
        return []

    @contextlib.contextmanager
    def _writing(self) -> Generator[None]:
        try:
            yield
        except Exception as error:  # each store has exceptions of its own without a common base
            raise errors.CannotWrite(
                "expected a store that takes files",
                where=store_url.shown(self._url),
                got=f"{type(error).__name__}: {error}",
                action="Check its address and your credentials for it.",
            ) from error


def _looked_at(path: Path) -> tuple[tuple[int, int], str, int]:
    try:
        before = _state(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return before, digest, file.tell()
    except OSError as error:
        raise errors.UnreadableFile(
            "expected a readable file", where=str(path), got=error.strerror or "an I/O error"
        ) from error


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _modified_s(found: dict[str, Any]) -> float:
    """Return when an object was written; the stores agree on no name for that."""
    for key in ("LastModified", "last_modified", "mtime", "updated", "created"):
        moment = found.get(key)
        if isinstance(moment, datetime):
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if isinstance(moment, int | float):
            return float(moment)
    return time.time()  # unknown: never old enough to be deleted
