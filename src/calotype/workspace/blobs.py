"""What a place for blobs must do: keep bytes under the digest of their content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Blob:
    """One stored blob.

    Attributes:
        digest: SHA-256 of its content; its name.
        bytes: its size.
        modified_s: when it was stored last, in seconds of Unix time.
    """

    digest: str
    bytes: int
    modified_s: float


class Blobs(Protocol):
    """A place for blobs. All of its methods may be called from several threads and processes."""

    def put_files(self, paths: Sequence[Path]) -> list[tuple[str, int]]:
        """Store files and return digest and size of each; what is there already becomes young.

        Raises:
            CannotWrite: the store cannot be written to; what was begun is not seen.
            UnreadableFile: a file cannot be read.
        """
        ...

    def put_bytes(self, digest: str, content: bytes) -> None:
        """Store a short blob; its digest must be right."""
        ...

    def open(self, digest: str) -> BinaryIO:
        """Return a stream of a blob.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read.
        """
        ...

    def path(self, digest: str) -> str:
        """Return where a blob lies, in the words of the store."""
        ...

    def all(self) -> Iterator[Blob]:
        """Give all blobs, in no order."""
        ...

    def delete(self, digest: str, *, before: float) -> bool:
        """Delete a blob unless it was stored after `before`; return whether it was deleted."""
        ...

    def tidy(self, *, before: float) -> None:
        """Delete what killed writers left before that time."""
        ...
