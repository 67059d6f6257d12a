"""Images that a file lists with their categories, instead of folders that name them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from calotype.images.sources.members import file_refusal, member_path
from calotype.images.sources.source import CHUNK_FILES, Candidate, Chunk, Kind, Reason, Refused


class ListedImage(NamedTuple):
    """One image of a list."""

    path: str
    """Relative to the folder of the list."""
    categories: frozenset[str]
    """Empty when it has no label; more than one is a contradiction."""


@dataclass(frozen=True)
class ListedSource:
    """A folder with a list of images, in the order of the list; its other files do not matter."""

    location: Path
    categories: list[str]
    images: Callable[[], Iterator[ListedImage]]
    """Reads the list anew."""
    kind: Kind = "folder"
    fingerprint: str | None = None

    @property
    def root(self) -> Path:
        """The folder itself."""
        return self.location

    def locate(self, container: str) -> Path:
        """Return the file of that name; a list has no containers."""
        return self.location / container

    def prepare(self) -> None:
        """Do nothing."""

    def chunks(self, *, left_out: Collection[Path] = ()) -> Iterator[Chunk]:
        """Yield the listed files in order; see `Source.chunks`."""
        chunk = Chunk()
        for image in self.images():
            path, reason = member_path(image.path), file_refusal(image.path)
            if reason is None and len(image.categories) > 1:
                reason = Reason.TWO_CATEGORIES
            if path is None or reason is not None:
                chunk.refused.append(Refused(image.path, reason or Reason.UNSAFE_PATH))
            else:
                chunk.candidates.append(
                    Candidate(path, category=next(iter(image.categories), None))
                )
            if len(chunk) >= CHUNK_FILES:
                yield chunk
                chunk = Chunk()
        yield chunk
