"""What files a dataset has: names, sizes and times, in constant memory."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from calotype import errors
from calotype.progress import SILENCE, Progress
from calotype.workspace.location import FOLDER

_SHOWN: Final = 3


class ListedFile(NamedTuple):
    """One file."""

    path: str
    """Relative, with slashes; bytes that are no UTF-8 are escaped as Python does it."""
    bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What there was when a dataset was registered, or is now.

    Attributes:
        files: how many.
        bytes: of all of them.
        names: digest of all paths and sizes.
        times: digest of the times of their last change.
    """

    files: int
    bytes: int
    names: str
    times: str


def summarize(listed: Iterable[ListedFile], *, progress: Progress = SILENCE) -> Listing:
    """Return the counts and digests of files; 100,000 take about a second."""
    names, times = hashlib.sha256(), hashlib.sha256()
    count = total = 0
    progress.begin("listing", total=None, unit="files")
    try:
        for file in listed:
            path = file.path.encode("utf-8", "surrogateescape")
            names.update(b"%s\0%d\n" % (path, file.bytes))
            times.update(b"%d\n" % file.modified_ns)
            count += 1
            total += file.bytes
            if count % 1000 == 0:
                progress.advance(1000)
    finally:
        progress.end()
    return Listing(count, total, names.hexdigest(), times.hexdigest())


def of_folder(folder: Path, *, progress: Progress = SILENCE) -> Iterator[ListedFile]:
    """Yield the files of a folder tree: sorted by name, those of a folder before its sub-folders.

    Links are followed; one to a folder that it lies in is not, and one that leads nowhere is
    passed over; `progress` is told. Workspaces in the folder are no part of it.

    Raises:
        UnreadableFile: a file or folder may not be read.
    """
    passed_over: list[str] = []
    yield from _walk(str(folder), "", (), passed_over)
    if passed_over:
        shown = ", ".join(passed_over[:_SHOWN])
        more = f" and {len(passed_over) - _SHOWN} more" if len(passed_over) > _SHOWN else ""
        progress.say(f"{folder}: passed over links that lead nowhere or in circles: {shown}{more}")


def of_file(path: Path) -> Iterator[ListedFile]:
    """Yield one file.

    Raises:
        UnreadableFile: it may not be read.
    """
    yield _listed(str(path), path.name)


def of_pattern(base: Path, pattern: str) -> Iterator[ListedFile]:
    """Yield the files below `base` that a pattern names, sorted; `**` stands for any folders.

    As in `of_folder`, workspaces are no part of it.

    Raises:
        UnparsableValue: the pattern leads out of `base`.
        UnreadableFile: a file may not be read.
    """
    if ".." in pattern.split("/"):  # else whoever writes these names writes outside the target
        raise errors.UnparsableValue(
            "expected a pattern without '..' behind its first wildcard",
            where=os.path.join(base, pattern),
            got="one that leads out of its folder",
            action="Begin the pattern in the folder that the files are below.",
        )
    found = glob.glob(pattern, root_dir=base, recursive=True)
    for name in sorted({os.path.normpath(one) for one in found}):
        path = os.path.join(base, name)
        if FOLDER not in name.split(os.sep) and os.path.isfile(path):
            yield _listed(path, name.replace(os.sep, "/"))


def _walk(
    path: str, prefix: str, ancestors: tuple[tuple[int, int], ...], passed_over: list[str]
) -> Iterator[ListedFile]:
    try:
        status = os.stat(path)
        with os.scandir(path) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(path, error) from error
    here = (status.st_dev, status.st_ino)
    if here in ancestors:
        passed_over.append(prefix.rstrip("/"))
        return
    folders: list[str] = []
    for entry in inside:
        try:
            if entry.is_dir():
                folders.append(entry.name)
            elif entry.is_file():
                yield _listed(entry.path, prefix + entry.name, entry)
            elif entry.is_symlink():
                passed_over.append(prefix + entry.name)
        except OSError:  # a link to itself
            passed_over.append(prefix + entry.name)
    for name in folders:
        if name != FOLDER:
            below = f"{prefix}{name}/"
            yield from _walk(os.path.join(path, name), below, (*ancestors, here), passed_over)


def _listed(path: str, name: str, entry: os.DirEntry[str] | None = None) -> ListedFile:
    try:
        status = entry.stat() if entry is not None else os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not os.access(path, os.R_OK):
        raise _unreadable(path, PermissionError(13, "no right to read it"))
    return ListedFile(name, status.st_size, status.st_mtime_ns)


def _unreadable(path: str, error: OSError) -> errors.UnreadableFile:
    return errors.UnreadableFile(
        "expected files that you may read",
        where=path,
        got=error.strerror or "an I/O error",
        action="Change its permissions, or leave it out with a pattern such as 'photos/**/*.jpg'.",
    )
