"""What every source of images gives: candidates by name, refusals with a reason, folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

from calotype.images.formats import has_image_extension

CHUNK_FILES: Final = 256

Kind = Literal["folder", "file", "zip", "tar"]


class Reason(StrEnum):
    """Why a file was not taken."""

    WRONG_EXTENSION = "wrong extension"
    HIDDEN = "hidden"
    MACOSX = "__MACOSX"
    WRONG_DEPTH = "wrong depth"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too large"
    DUPLICATE = "duplicate"
    NOT_UTF8 = "name is not UTF-8"
    NOT_REGULAR = "not a regular file"
    LINK = "link"
    LINK_LOOP = "link loop"
    UNSAFE_PATH = "unsafe path"
    ENCRYPTED = "encrypted"
    COMPRESSION = "unknown compression"
    MISSING = "missing"
    TWO_CATEGORIES = "two categories"
    REPLACED = "replaced by a later file"

    @property
    def error_number(self) -> int | None:
        """The number of the error that using the file would be, if it would be one."""
        return _ERROR_NUMBERS.get(self)


_ERROR_NUMBERS: Final[dict[Reason, int]] = {
    Reason.UNREADABLE: 48,
    Reason.MISSING: 48,
    Reason.NOT_REGULAR: 48,
    Reason.LINK_LOOP: 48,
    Reason.ENCRYPTED: 102,
    Reason.COMPRESSION: 102,
    Reason.UNSAFE_PATH: 102,
    Reason.TOO_LARGE: 127,
}


class Candidate(NamedTuple):
    """A file that has the name of an image. A tuple, because a million of them are made."""

    path: str
    """Relative to the source, with forward slashes."""
    container: str | None = None
    """The file that holds it, as `Source.locate` takes it; None for a file of its own."""
    offset: int | None = None
    length: int | None = None
    category: str | None = None
    """The category that the source gives; None when folders name the categories."""


class Refused(NamedTuple):
    """A file that is not taken."""

    path: str
    reason: Reason


@dataclass(slots=True)
class Chunk:
    """Some files of a source, in its order."""

    candidates: list[Candidate] = field(default_factory=list[Candidate])
    refused: list[Refused] = field(default_factory=list[Refused])
    folders: list[str] = field(default_factory=list[str])
    """Folders that were seen and may name a category; none that is hidden."""

    def __len__(self) -> int:
        return len(self.candidates) + len(self.refused) + len(self.folders)


class Source(Protocol):
    """A place where images lie."""

    @property
    def kind(self) -> Kind:
        """What it is."""
        ...

    @property
    def location(self) -> Path:
        """The absolute path of the folder, file or archive."""
        ...

    @property
    def root(self) -> Path:
        """The folder that the paths of files are relative to."""
        ...

    @property
    def categories(self) -> list[str] | None:
        """All categories when the source lists them; None when folders name them."""
        ...

    @property
    def fingerprint(self) -> str | None:
        """Changes with its content; None when that takes the state of each file."""
        ...

    def prepare(self) -> None:
        """Do what may take long before the first chunk: unpack a compressed archive."""
        ...

    def chunks(self, *, left_out: Collection[Path] = ()) -> Iterator[Chunk]:
        """Yield its files, always in the same order, without opening any image.

        Args:
            left_out: folders that are passed over in silence.
        """
        ...

    def locate(self, container: str) -> Path:
        """Return the file of a container, and make it if it is a copy that is gone."""
        ...


def refusal(path: str) -> Reason | None:
    """Return why a path inside a source is refused by its name alone; None if it is not.

    >>> refusal("cats/.thumbs/1.jpg")
    <Reason.HIDDEN: 'hidden'>
    """
    reason = folder_refusal(path)
    if reason is None and not has_image_extension(path):
        return Reason.WRONG_EXTENSION
    return reason


def folder_refusal(path: str) -> Reason | None:
    """Return why everything in a folder of that path is refused; None if it is not."""
    if not path.isascii() and not is_utf8(path):
        return Reason.NOT_UTF8
    if "__MACOSX" in path and "__MACOSX" in path.split("/"):
        return Reason.MACOSX
    if path.startswith(".") or "/." in path:
        return Reason.HIDDEN
    return None


def is_utf8(name: str) -> bool:
    """Return whether a name from the file system or an archive is text in UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(path: str) -> str:
    """Return the path with bytes that are no UTF-8 escaped as `\\xNN`."""
    if path.isascii() or is_utf8(path):
        return path
    return os.fsencode(path).decode(errors="backslashreplace")


def file_fingerprint(path: Path) -> str:
    """Return what changes when a file is replaced or written to: a digest of size and time."""
    status = path.stat()
    return digest_of(f"{status.st_size}\0{status.st_mtime_ns}")


def digest_of(text: str) -> str:
    """Return a short digest of a text, in hexadecimal."""
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
