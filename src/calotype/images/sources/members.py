"""Sorting the members of an archive into candidates, refusals and folders."""

from __future__ import annotations

from calotype.images.sources.source import (
    CHUNK_FILES,
    Candidate,
    Chunk,
    Reason,
    Refused,
    folder_refusal,
    refusal,
)


def member_path(name: str) -> str | None:
    """Return a member's name as a plain relative path; None when it leads out of the archive.

    >>> member_path("./cats//1.jpg")
    'cats/1.jpg'
    >>> member_path("../../etc/passwd")
    """
    if name.startswith("/") or "\0" in name or (".." in name and ".." in name.split("/")):
        return None
    if name.startswith("./") or "//" in name or "/./" in name or name.endswith(("/", "/.")):
        return "/".join(part for part in name.split("/") if part not in ("", "."))
    return name


def file_refusal(name: str) -> Reason | None:
    """Return why a member of that name is refused, whatever it is; None if it is not."""
    path = member_path(name)
    return Reason.UNSAFE_PATH if path is None else refusal(path)


class Sorter:
    """Collects members into chunks.

    Attributes:
        chunk: what was collected since the last chunk was taken.
    """

    def __init__(self) -> None:
        """Begin with an empty chunk."""
        self.chunk = Chunk()
        self._last_folder = ""

    @property
    def is_full(self) -> bool:
        """Whether it is time to take the chunk."""
        return len(self.chunk) >= CHUNK_FILES

    def take(self) -> Chunk:
        """Return the chunk and begin another."""
        chunk, self.chunk = self.chunk, Chunk()
        return chunk

    def add_folder(self, name: str) -> None:
        """Note a folder, if it may name a category."""
        path = member_path(name)
        if path and folder_refusal(path) is None:
            self.chunk.folders.append(path)

    def refuse(self, name: str, reason: Reason) -> None:
        """Note a member that is not taken, and the folder it lies in."""
        path = member_path(name)
        self.chunk.refused.append(Refused(path or name, reason))
        folder = (path or "").rpartition("/")[0]
        if folder != self._last_folder:
            self._last_folder = folder
            self.add_folder(folder)

    def take_in(self, name: str, container: str, offset: int, length: int) -> None:
        """Note an image; `file_refusal` had nothing against its name."""
        candidate = Candidate(member_path(name) or name, container, offset, length)
        self.chunk.candidates.append(candidate)
