"""A folder of images, and a single image file."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from calotype.images.sources.source import (
    CHUNK_FILES,
    Candidate,
    Chunk,
    Kind,
    Reason,
    Refused,
    file_fingerprint,
    folder_refusal,
    is_utf8,
    refusal,
)


class _Folder(NamedTuple):
    """A folder on the way."""

    path: str
    """Relative to the source; empty for the source itself."""
    reason: Reason | None
    """Why everything in it is refused, if it is."""
    ancestors: tuple[object, ...]
    """Its device and inode, and the ancestors of its parent: (id, (id, (id, ())))."""


@dataclass(slots=True)
class _Listing:
    """The content of one folder, sorted by name."""

    files: list[str] = field(default_factory=list[str])
    refused: list[tuple[str, Reason]] = field(default_factory=list[tuple[str, Reason]])
    folders: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class FolderSource:
    """A folder tree: sorted by name, the files of a folder before its sub-folders.

    Symbolic links are followed to files and folders; a link to a folder that it lies in is not.
    The names of one folder at a time are held in memory.
    """

    location: Path
    kind: Kind = "folder"
    categories: list[str] | None = None
    fingerprint: str | None = None

    @property
    def root(self) -> Path:
        """The folder itself."""
        return self.location

    def locate(self, container: str) -> Path:
        """Return the file of that name; a folder has no containers."""
        return self.location / container

    def prepare(self) -> None:
        """Do nothing."""

    def chunks(self, *, left_out: Collection[Path] = ()) -> Iterator[Chunk]:
        """Yield the files in order; see `Source.chunks`."""
        passed_over = {os.path.realpath(path) for path in left_out}
        chunk = Chunk()
        waiting = [_Folder("", None, ())]
        while waiting:
            folder = waiting.pop()
            path = os.path.join(self.location, folder.path)
            if passed_over and os.path.realpath(path) in passed_over:
                continue
            subfolders: list[_Folder] = []
            for part in self._parts(folder, path, subfolders):
                chunk.candidates += part.candidates
                chunk.refused += part.refused
                chunk.folders += part.folders
                if len(chunk) >= CHUNK_FILES:
                    yield chunk
                    chunk = Chunk()
            waiting += reversed(subfolders)
        if len(chunk):
            yield chunk

    def _parts(self, folder: _Folder, path: str, subfolders: list[_Folder]) -> Iterator[Chunk]:
        """Yield the files of one folder in pieces, and note its sub-folders."""
        try:
            status = os.stat(path)
            listing = _list(path)
        except OSError:
            yield Chunk(refused=[Refused(folder.path or ".", Reason.UNREADABLE)])
            return
        here = (status.st_dev, status.st_ino)
        if _is_among(here, folder.ancestors):
            yield Chunk(refused=[Refused(folder.path, Reason.LINK_LOOP)])
            return
        prefix = f"{folder.path}/" if folder.path else ""
        if folder.path and folder.reason is None:
            yield Chunk(folders=[folder.path])
        yield Chunk(
            refused=[Refused(prefix + n, folder.reason or why) for n, why in listing.refused]
        )
        for first in range(0, len(listing.files), CHUNK_FILES):
            names = listing.files[first : first + CHUNK_FILES]
            if folder.reason is None:
                yield Chunk([Candidate(prefix + name) for name in names])
            else:
                yield Chunk(refused=[Refused(prefix + n, folder.reason) for n in names])
        ancestors = (here, folder.ancestors)
        subfolders += [
            _Folder(prefix + name, folder.reason or folder_refusal(name), ancestors)
            for name in listing.folders
        ]


@dataclass(frozen=True)
class FileSource:
    """One image file."""

    location: Path
    kind: Kind = "file"
    categories: list[str] | None = None

    @property
    def fingerprint(self) -> str:
        """A digest of its size and time of modification."""
        return file_fingerprint(self.location)

    @property
    def root(self) -> Path:
        """The folder of the file."""
        return self.location.parent

    def locate(self, container: str) -> Path:
        """Return the file of that name; an image file has no containers."""
        return self.root / container

    def prepare(self) -> None:
        """Do nothing."""

    def chunks(self, *, left_out: Collection[Path] = ()) -> Iterator[Chunk]:
        """Yield the file."""
        name = self.location.name
        if is_utf8(name):
            yield Chunk([Candidate(name)])
        else:
            yield Chunk(refused=[Refused(name, Reason.NOT_UTF8)])


def _list(path: str) -> _Listing:
    listing = _Listing()
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if _is_folder(entry):
                listing.folders.append(name)
            elif (reason := _file_refusal(entry)) is None:
                listing.files.append(name)
            else:
                listing.refused.append((name, reason))
    listing.files.sort()
    listing.refused.sort()
    listing.folders.sort()
    return listing


def _file_refusal(entry: os.DirEntry[str]) -> Reason | None:
    if (reason := refusal(entry.name)) is not None:
        return reason
    try:
        if entry.is_file():
            return None
    except OSError:  # a link to itself
        return Reason.LINK_LOOP
    return Reason.MISSING if entry.is_symlink() else Reason.NOT_REGULAR


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_among(here: tuple[int, int], ancestors: tuple[object, ...]) -> bool:
    while ancestors:
        if ancestors[0] == here:
            return True
        ancestors = ancestors[1]  # pyright: ignore[reportAssignmentType] - a linked list
    return False
