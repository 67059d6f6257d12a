"""One change of a service at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from calotype import errors
from calotype.hosting.layout import Layout


def lock_of(layout: Layout, service: str) -> Path:
    """Return the lock of a service; outside its folder, which a deletion removes."""
    return layout.run / "management" / f"{service}.lock"


@contextlib.contextmanager
def changing(layout: Layout, service: str) -> Generator[None]:
    """Be the only one that changes a service; the lock file is gone afterwards.

    Raises:
        Busy: somebody else does (2002).
        CannotWrite: the lock cannot be made.
    """
    path = lock_of(layout, service)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _hold(path)
    except OSError as error:
        raise errors.write_error(error, where=str(path)) from error
    if descriptor is None:
        raise errors.Busy(
            "expected no other operation on this service",
            where=f"service '{service}'",
            got="one that is in progress",
            action="Try again when it has finished.",
        )
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: the next one sees that it is another file
        os.close(descriptor)


def _hold(path: Path) -> int | None:
    """Return the locked file; None when another process has it."""
    import fcntl

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it between our two steps


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)
