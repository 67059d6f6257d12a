"""Files about requests, which only their owner may read: what callers send may be confidential."""

from __future__ import annotations

import os
from pathlib import Path

from calotype import errors


def open_private(path: Path) -> int:
    """Open a file to append to, that only we may read; no link is followed."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, flags, 0o600)


def append(path: Path, line: bytes) -> None:
    """Write a line to the end of a file that only we may read."""
    # Opened anew for each line, so that files may be moved away while the service runs.
    descriptor = open_private(path)
    try:
        while line:
            line = line[os.write(descriptor, line) :]
    finally:
        os.close(descriptor)


def make_private(folder: Path) -> None:
    """Make a folder and those above it that are not there, which only we may enter."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def check_writable(folder: Path, option: str = "--capture") -> None:
    """Make a folder of our own, and check that files can be made in it.

    Raises:
        CannotWrite: they cannot.
    """
    probe = folder / f".probe-{os.getpid()}"
    try:
        make_private(folder)
        os.close(open_private(probe))
        probe.unlink()
    except OSError as error:
        raise errors.CannotWrite(
            "expected a folder that requests can be written to",
            where=str(folder),
            got=error.strerror or type(error).__name__,
            action=f"Choose another folder for {option}, or change who may write to it.",
        ) from None
