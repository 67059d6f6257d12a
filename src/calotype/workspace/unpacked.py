"""Stored trees as files of this machine: for those who read them, and for those who take them."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype import errors

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

FOLDER: Final = "unpacked"


def path_of(workspace: Workspace, digest: str) -> Path:
    """Return a tree on this machine, written once for all who ask; it must not be written to.

    A tree of one file is that file; a tree of one folder is that folder.

    Raises:
        CorruptWorkspace: a stored file is missing or damaged.
        CannotWrite: the workspace's folder cannot be written to.
    """
    return _innermost(folder_of(workspace, digest))


def root(workspace: Workspace) -> Path:
    """Return the folder of all that is unpacked; `workspace gc` empties it."""
    return workspace.place.root / FOLDER


def remove_unneeded(workspace: Workspace, keep: Collection[str], *, older_than_s: float) -> int:
    """Delete what was unpacked and is registered no more, and what killed processes left.

    Args:
        workspace: whose.
        keep: names of what is needed: digests of trees, folders of links.
        older_than_s: what is younger stays.

    Returns:
        How many folders were deleted.

    Raises:
        CannotWrite: one cannot be deleted.
    """
    before = time.time() - older_than_s
    removed = 0
    for folder in sorted(root(workspace).glob("*")):
        if folder.name in keep or _last_written_s(folder) > before:
            continue
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise errors.write_error(error, where=str(folder)) from error
        removed += 1
    return removed


def folder_of(workspace: Workspace, digest: str) -> Path:
    """Return the folder that a tree is unpacked in; see `path_of`."""
    folder = root(workspace) / digest
    if folder.is_dir():
        return folder
    with room(workspace) as own:
        workspace.artifacts.unpack(digest, own / digest)
        take_place(own / digest, folder)
    return folder


@contextlib.contextmanager
def room(workspace: Workspace) -> Generator[Path]:
    """Give a folder for work, on the same disk as what is unpacked; gone at the end.

    Raises:
        CannotWrite: the workspace's folder cannot be written to.
    """
    place = root(workspace)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=place) as own:
            yield Path(own)
    except OSError as error:
        raise errors.write_error(error, where=str(place)) from error


def place(
    write: Callable[[Path], None], target: Path, *, folder: str = "", exist_ok: bool = False
) -> Path:
    """Write files into a folder of the user's, all of them or none.

    Args:
        write: makes the folder that it is given, with the files.
        target: the folder; made when it is not there.
        folder: of this name in there; empty: what `write` made comes into `target` itself.
        exist_ok: take the place of files and folders of the same names.

    Returns:
        What was written: the file or folder when it is one, else `target`.

    Raises:
        AlreadyExists: one of the names is taken, and `exist_ok` is false.
        CannotWrite: the folder cannot be written to.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".calotype-", dir=target) as own:
            made = Path(own) / (folder or "files")
            write(made)
            moved = [made] if folder else sorted(made.iterdir())
            taken = [one.name for one in moved if os.path.lexists(target / one.name)]
            if taken and not exist_ok:
                raise _taken(target, taken)
            for one in moved:
                _replace(one, target / one.name)
    except OSError as error:
        raise errors.write_error(error, where=str(target)) from error
    return target / moved[0].name if len(moved) == 1 else target


def take_place(made: Path, folder: Path) -> None:
    """Move a folder to its place, unless another process put the same there meanwhile."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _last_written_s(folder: Path) -> float:
    """Return when a folder was written to; somebody may be at work in one that has no name yet."""
    inside = folder.rglob("*") if folder.name.startswith(".") else ()
    with contextlib.suppress(FileNotFoundError):
        return max(path.lstat().st_mtime for path in (folder, *inside))
    return time.time()  # it is being finished


def _innermost(folder: Path) -> Path:
    names = list(folder.iterdir())
    return names[0] if len(names) == 1 else folder


def _taken(target: Path, names: list[str]) -> errors.AlreadyExists:
    return errors.AlreadyExists(
        "expected a place without files of these names",
        where=str(target),
        got=", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else ""),
        action="Choose another folder, or let them be replaced: --overwrite, exist_ok=True.",
    )


def _replace(made: Path, place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    elif os.path.lexists(place):
        place.unlink()
    made.rename(place)
