"""Files by the digest of their content, on any store that fsspec knows.

A blob is `blobs/ab/abcdef…`. A tree is a blob too: JSON with one entry for each file, sorted by
path, so that the same files always have the same digest and are stored once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file of a tree.

    Attributes:
        path: relative, with slashes.
        digest: SHA-256 of its content.
        bytes: its size.
    """

    path: str
    digest: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Tree:
    """What was stored of a folder or a file.

    Attributes:
        digest: names the whole tree.
        entries: its files, sorted by path.
    """

    digest: str
    entries: tuple[TreeEntry, ...]

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(entry.bytes for entry in self.entries)


class ArtifactStore(Protocol):
    """Keeps trees of files; see `tests/contracts` for what each store must do."""

    def put(self, source: Path, *, below: str = "") -> Tree:
        """Store a folder, or one file, and return its tree; a second time costs only reading.

        Args:
            source: a folder, or a file, which becomes a tree of one file.
            below: a folder name that comes before every path.

        Raises:
            CannotWrite: the store cannot be written to.
        """
        ...

    def tree(self, digest: str) -> Tree:
        """Return a stored tree.

        Raises:
            NotFound: there is none.
            CorruptWorkspace: it is damaged.
        """
        ...

    def unpack(self, digest: str, folder: Path) -> None:
        """Write a tree into `folder`, which appears whole or not at all; every file is checked.

        Raises:
            CorruptWorkspace: a file is missing or is not what was stored.
            CannotWrite: the folder cannot be written to.
        """
        ...

    def check(self, digest: str) -> list[str]:
        """Return what is wrong with a tree, in sentences; nothing when all is well."""
        ...

    def collect(
        self, keep: set[str], *, older_than_s: float, also: Collection[str] = ()
    ) -> tuple[int, int]:
        """Delete what no tree of `keep` needs and is older than that; return blobs and bytes.

        Args:
            keep: digests of trees.
            older_than_s: what is younger stays.
            also: digests of single files, of trees, or of none, that stay.

        Raises:
            NotFound, CorruptWorkspace: a tree of `keep` is missing or damaged; nothing is deleted.
        """
        ...

    def unused(
        self, keep: set[str], *, before: float, also: Collection[str] = ()
    ) -> tuple[int, int]:
        """Return how many blobs and bytes `collect` would delete.

        Args:
            keep: digests of trees.
            before: in seconds of Unix time; what is younger does not count.
            also: digests of single files, of trees, or of none, that stay.

        Raises:
            NotFound, CorruptWorkspace: a tree of `keep` is missing or damaged.
        """
        ...


def open_store(url: str) -> ArtifactStore:
    """Return the store at an fsspec URL: `file:`, `memory:`, `s3:`…

    Raises:
        MissingDependency: its package is not installed.
    """
    from calotype.workspace.blob_store import BlobStore

    return BlobStore(url)
