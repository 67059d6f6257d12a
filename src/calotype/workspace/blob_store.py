"""The artifact store: trees of files over blobs, in a folder or on any store of fsspec."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Collection, Generator, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from calotype import errors, files
from calotype.workspace import store_url
from calotype.workspace.artifacts import Tree, TreeEntry
from calotype.workspace.blobs import CHUNK_BYTES, Blob, Blobs

_START: Final = b'{"tree":1,"files":'  # of every list of files, version 1 of its format


class BlobStore:
    """Trees of files by the digest of their content; an `artifacts.ArtifactStore`.

    Args:
        url: `file:///folder`, a folder, or what fsspec knows: `s3://bucket/prefix`, `memory://`…

    Raises:
        MissingDependency: the package of that kind of store is not installed.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._blobs = _open_blobs(url)

    def put(self, source: Path, *, below: str = "") -> Tree:
        """Store a folder, or one file, and return its tree; a second time costs only reading."""
        found = sorted(_files_of(source))
        stored = self._blobs.put_files([path for _, path in found])
        prefix = PurePosixPath(below)
        entries = tuple(
            sorted(
                (
                    TreeEntry(str(prefix / name), digest, size)
                    for (name, _), (digest, size) in zip(found, stored, strict=True)
                ),
                key=lambda entry: entry.path,
            )
        )
        text = _text_of(entries)
        # Last: whoever sees the tree finds all its files.
        self._blobs.put_bytes(hashlib.sha256(text).hexdigest(), text)
        return Tree(hashlib.sha256(text).hexdigest(), entries)

    def tree(self, digest: str) -> Tree:
        """Return a stored tree."""
        try:
            with self._blobs.open(digest) as file:
                # A file that is no list may be of any size.
                start = file.read(len(_START))
                text = start + file.read() if start == _START else b""
        except FileNotFoundError:
            raise errors.NotFound(
                f"expected the artifact {digest}", where=self._shown, got="none"
            ) from None
        except OSError as error:
            raise errors.UnreadableFile(
                "expected an artifact store that can be read",
                where=self._shown,
                got=str(error),
                action="Check its address and your credentials for it.",
            ) from error
        if hashlib.sha256(text).hexdigest() != digest:
            raise self._corrupt(f"the list of files {digest} as it was stored", "another content")
        try:
            return Tree(digest, _entries_of(text))
        except (ValueError, KeyError, TypeError) as error:
            raise self._corrupt("a list of files", f"{digest}: {error}") from error

    def unpack(self, digest: str, folder: Path) -> None:
        """Write a tree into `folder`, which appears whole or not at all; every file is checked."""
        try:
            tree = self.tree(digest)
        except errors.NotFound as error:
            raise self._corrupt("all artifacts that are registered", f"no {digest}") from error
        with files.folder_aside(folder) as temporary:
            for entry in tree.entries:
                target = temporary / entry.path
                target.parent.mkdir(parents=True, exist_ok=True)
                with self._opened(entry) as source, target.open("xb") as file:
                    if _copy(source, file) != (entry.digest, entry.bytes):
                        raise self._corrupt(f"'{entry.path}' as it was stored", "another content")

    def check(self, digest: str) -> list[str]:
        """Return what is wrong with a tree, in sentences; nothing when all is well."""
        try:
            tree = self.tree(digest)
        except errors.CalotypeError as error:
            return [str(error)]
        wrong: list[str] = []
        for entry in tree.entries:
            try:
                with self._blobs.open(entry.digest) as file:
                    found = _copy(file, None)
            except FileNotFoundError:
                wrong.append(f"'{entry.path}' is missing: there is no blob {entry.digest}.")
            except OSError as error:
                wrong.append(f"'{entry.path}' cannot be read: {error}.")
            else:
                if found != (entry.digest, entry.bytes):
                    wrong.append(f"'{entry.path}' has changed since it was stored.")
        return wrong

    def collect(
        self, keep: set[str], *, older_than_s: float, also: Collection[str] = ()
    ) -> tuple[int, int]:
        """Delete what no tree of `keep` needs and is older than that; return blobs and bytes."""
        before = time.time() - older_than_s
        count = size = 0
        for blob in self._unused(keep, before, also):
            # A second look: whoever stores the same file again makes its blob young.
            if self._blobs.delete(blob.digest, before=before):
                count, size = count + 1, size + blob.bytes
        self._blobs.tidy(before=before)
        return count, size

    def unused(
        self, keep: set[str], *, before: float, also: Collection[str] = ()
    ) -> tuple[int, int]:
        """Return how many blobs and bytes `collect` would delete."""
        found = self._unused(keep, before, also)
        return len(found), sum(blob.bytes for blob in found)

    def _unused(self, keep: set[str], before: float, also: Collection[str]) -> list[Blob]:
        needed = keep | set(also)
        for digest in keep:
            needed |= {entry.digest for entry in self.tree(digest).entries}
        for digest in also:
            with contextlib.suppress(errors.WorkspaceError):
                needed |= {entry.digest for entry in self.tree(digest).entries}
        return [
            blob
            for blob in self._blobs.all()
            if blob.digest not in needed and blob.modified_s <= before
        ]

    def blob_path(self, digest: str) -> str:
        """Return where a blob lies, in the words of its store."""
        return self._blobs.path(digest)

    @contextlib.contextmanager
    def _opened(self, entry: TreeEntry) -> Generator[BinaryIO]:
        try:
            file = self._blobs.open(entry.digest)
        except FileNotFoundError:
            raise self._corrupt(f"the file '{entry.path}'", f"no blob {entry.digest}") from None
        except OSError as error:
            raise self._corrupt(f"the file '{entry.path}'", str(error)) from error
        with file:
            yield file

    def _corrupt(self, expected: str, got: str) -> errors.CorruptWorkspace:
        return errors.CorruptWorkspace(
            f"expected {expected}",
            where=self._shown,
            got=got,
            action="`calotype workspace check` lists what is damaged; register it again.",
        )

    @property
    def _shown(self) -> str:
        return store_url.shown(self._url)


def _open_blobs(url: str) -> Blobs:
    folder = store_url.local_folder(url)
    if folder is not None:
        from calotype.workspace.blob_folder import BlobFolder

        return BlobFolder(folder)
    from calotype.workspace.blob_objects import BlobObjects

    return BlobObjects(url)


def _files_of(source: Path) -> Iterator[tuple[str, Path]]:
    if not source.is_dir():
        yield source.name, _regular(source)
        return
    seen: set[str] = set()
    for top, folders, names in os.walk(source, followlinks=True, onerror=_refuse):
        real = os.path.realpath(top)
        if real in seen:  # a link to a folder above would never end
            folders.clear()
            continue
        seen.add(real)
        for name in names:
            path = Path(top, name)
            yield path.relative_to(source).as_posix(), _regular(path)


def _regular(path: Path) -> Path:
    if not path.is_file():
        got = "no such file" if not path.exists() else "a device, a pipe or a socket"
        raise errors.UnreadableFile("expected a file", where=str(path), got=got)
    return path


def _refuse(error: OSError) -> None:
    raise errors.UnreadableFile(
        "expected a folder that can be read",
        where=str(error.filename),
        got=error.strerror or "an I/O error",
    ) from error


def _text_of(entries: tuple[TreeEntry, ...]) -> bytes:
    listed = [[entry.path, entry.digest, entry.bytes] for entry in entries]
    # ASCII: names that are no Unicode survive as escapes.
    return _START + json.dumps(listed, separators=(",", ":")).encode("ascii") + b"}"


def _entries_of(text: bytes) -> tuple[TreeEntry, ...]:
    entries = tuple(TreeEntry(*entry) for entry in json.loads(text)["files"])
    for entry in entries:
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"a file outside: {entry.path}")
    return entries


def _copy(source: BinaryIO, target: BinaryIO | None) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        if target is not None:
            target.write(chunk)
    return digest.hexdigest(), size
