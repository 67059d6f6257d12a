"""The folder of a workspace's sockets: short, only its owner may enter it, and it comes and goes.

Where it is depends on the workspace alone and not on the environment: whoever looks for a keeper
has to find it, a program of cron as much as a shell.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from calotype import errors

# Names of sockets may have 107 bytes, on macOS 103.
_MOST_BYTES: Final = 100
_LONGEST_NAME: Final = "s" * 16 + "-01234567.control"


def place_of(root: Path) -> Path:
    """Return where the sockets of a `.calotype` folder are; beside it when its name is long."""
    root = root.resolve()
    near = root / "run" / "s"
    if len(os.fsencode(near / _LONGEST_NAME)) < _MOST_BYTES:
        return near
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return Path("/tmp") / f"calotype-{_owner()}" / name  # noqa: S108 - checked to be ours alone


def make(folder: Path) -> None:
    """Make the folder, and see that it is ours alone.

    Raises:
        CannotWrite: it cannot be made, or belongs to somebody else.
    """
    try:
        if folder.parent.parent == Path("/tmp"):  # noqa: S108 - where others could have made it
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            _check_private(folder.parent)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private(folder)
    except OSError as error:
        raise errors.write_error(error, where=str(error.filename or folder)) from error


def leave(folder: Path) -> None:
    """Remove the folder if nobody has a socket in it any more."""
    try:
        folder.rmdir()
    except OSError:
        return


def _owner() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _check_private(folder: Path) -> None:
    status = folder.lstat()
    is_private = stat.S_ISDIR(status.st_mode) and status.st_uid == _owner()
    if hasattr(os, "getuid") and (not is_private or status.st_mode & 0o077):
        raise errors.CannotWrite(
            "expected a folder that only you may enter",
            where=str(folder),
            got="one that others can use",
            action="Remove it.",
        )
