"""What a dataset is registered from: a folder, an archive, a file, a pattern or a URL."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from calotype import errors
from calotype.progress import SILENCE, Progress
from calotype.workspace import listing
from calotype.workspace.listing import ListedFile

Form = Literal["folder", "archive", "file", "pattern"]

ARCHIVE_SUFFIXES: Final = (
    ".zip",
    ".tar",
    ".tgz",
    ".tbz2",
    ".txz",
    ".tar.gz",
    ".tar.bz2",
    ".tar.xz",
)
_MAGIC: Final = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class LocalSource:
    """Files of this machine.

    Attributes:
        form: what they are.
        path: the folder or file; of a pattern, the folder that it begins in.
        pattern: relative to `path`; empty for all else.
    """

    form: Form
    path: Path
    pattern: str = ""

    @classmethod
    def find(cls, text: str | Path) -> LocalSource:
        """Return what a path or pattern means; a path that exists is never a pattern.

        Nor is the part of one that names a folder, such as `a[1]` of `a[1]/*.jpg`.

        Raises:
            UnreadableFile: there is nothing there (0048).
            InvalidArchive: it is called an archive and is none (0102).
        """
        path = Path(text).expanduser().absolute()
        if path.is_dir():
            return cls("folder", path)
        if path.is_file():
            return cls(_form_of_file(path), path)
        base = _folders_of(path)
        rest = path.relative_to(base)
        if path.exists() or not _MAGIC.search(str(rest)):
            raise errors.UnreadableFile(
                "expected a folder, an archive, a file, a pattern such as 'photos/**/*.jpg' or "
                "an http(s) URL",
                where=str(text),
                got="neither a file nor a folder" if path.exists() else "nothing there",
                action="Check the path.",
            )
        before = next(index for index, part in enumerate(rest.parts) if _MAGIC.search(part))
        return cls("pattern", base.joinpath(*rest.parts[:before]), "/".join(rest.parts[before:]))

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> LocalSource:
        """Return what `to_document` was made of."""
        return cls(document["form"], Path(document["path"]), document.get("pattern", ""))

    def to_document(self) -> dict[str, Any]:
        """Return this as the database keeps it."""
        return {"form": self.form, "path": str(self.path), "pattern": self.pattern}

    @property
    def text(self) -> str:
        """How it is shown."""
        return str(self.path / self.pattern) if self.pattern else str(self.path)

    def files(self, *, progress: Progress = SILENCE) -> Iterator[ListedFile]:
        """Yield its files, in an order that stays.

        Raises:
            UnreadableFile: one may not be read.
        """
        if self.form == "folder":
            return listing.of_folder(self.path, progress=progress)
        if self.form == "pattern":
            return listing.of_pattern(self.path, self.pattern)
        return listing.of_file(self.path)

    def locate(self, name: str) -> Path:
        """Return where one of its files is."""
        return self.path / name if self.form in ("folder", "pattern") else self.path


def gather(
    source: LocalSource,
    folder: Path,
    *,
    as_links: bool,
    progress: Progress,
    only: Collection[str] | None = None,
) -> None:
    """Make a folder of the files of a source.

    Args:
        source: what to take.
        folder: to fill; has to be there.
        as_links: make symbolic links instead of copies.
        progress: told about the copying.
        only: names of the files to take; None for all.

    Raises:
        UnreadableFile: a file may not be read.
    """
    progress.begin("linking" if as_links else "copying", total=None, unit="files")
    made: set[Path] = {folder}
    try:
        for file in source.files():
            if only is not None and file.path not in only:
                continue
            place = folder / file.path
            if place.parent not in made:
                place.parent.mkdir(parents=True, exist_ok=True)
                made.add(place.parent)
            if as_links:
                place.symlink_to(source.locate(file.path))
            else:
                _copy(source.locate(file.path), place)
            progress.advance()
    finally:
        progress.end()


def _folders_of(path: Path) -> Path:
    """Return the innermost folder that is there, whatever it is called."""
    return next(folder for folder in path.parents if folder.is_dir())


def _copy(source: Path, place: Path) -> None:
    try:
        content = source.open("rb")
    except OSError as error:
        raise errors.UnreadableFile(
            "expected a file that you may read", where=str(source), got=error.strerror or "an error"
        ) from error
    with content, place.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    shutil.copystat(source, place)


def _form_of_file(path: Path) -> Form:
    if not os.access(path, os.R_OK):
        raise errors.UnreadableFile(
            "expected a file that you may read", where=str(path), got="no right to read it"
        )
    if not path.name.lower().endswith(ARCHIVE_SUFFIXES):
        return "file"
    if not (zipfile.is_zipfile(path) or tarfile.is_tarfile(path)):
        raise errors.InvalidArchive(
            "expected an archive",
            where=str(path),
            got="a file of another format" if path.stat().st_size else "an empty file",
            action="Copy or download it again.",
        )
    return "archive"
