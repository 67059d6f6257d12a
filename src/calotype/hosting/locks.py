"""Files that a process holds while it lives: they end with it, however it ends.

What a file says counts only while it is held; after that it tells of the past.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from calotype import errors

try:
    import fcntl
except ImportError:  # pragma: no cover - no services in the background there
    fcntl = None  # type: ignore[assignment]

_ATTEMPTS: Final = 3
_GLANCE_S: Final = 0.003
_LOOKED_AT_ATTEMPTS: Final = 1000  # who looks may be put aside by the system meanwhile


class Held:
    """A lock file of ours.

    Args:
        path: of the file.
        descriptor: of the open file that holds the lock.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """Return the lock, or None when another process has it.

        Raises:
            CannotWrite: the file cannot be made.
        """
        assert fcntl is not None
        attempts = 0
        while True:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:
                raise errors.write_error(error, where=str(path)) from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                attempts += 1
                most = _LOOKED_AT_ATTEMPTS if _is_only_looked_at(descriptor) else _ATTEMPTS
                os.close(descriptor)
                if attempts > most:
                    return None
                time.sleep(_GLANCE_S)
                continue
            if _is_at(descriptor, path):
                return cls(path, descriptor)
            os.close(descriptor)  # it was deleted between the two steps

    @classmethod
    def wait(cls, path: Path) -> Self | None:
        """Wait for the lock; None when its file has gone meanwhile."""
        assert fcntl is not None
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is_at(descriptor, path):
            return cls(path, descriptor)
        os.close(descriptor)
        return None

    def say(self, facts: dict[str, Any]) -> None:
        """Replace what the file says, in one step for those who read it meanwhile."""
        text = json.dumps({"pid": os.getpid(), **facts}).encode()
        os.pwrite(self.descriptor, text.ljust(os.fstat(self.descriptor).st_size), 0)

    def release(self, *, delete: bool = False) -> None:
        """Let go of it."""
        if delete:
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """Whether a living process holds a lock file."""
    assert fcntl is not None
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        # A shared lock, so that two who look at the same time do not take each other for holders.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def facts(path: Path) -> dict[str, Any]:
    """Return what a lock file says, held or not; {} when it says nothing."""
    with contextlib.suppress(OSError, ValueError):
        said = json.loads(path.read_bytes())
        if isinstance(said, dict):
            return said
    return {}


def _is_only_looked_at(descriptor: int) -> bool:
    """Whether those who keep us from a lock do no more than find out who has it."""
    assert fcntl is not None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there, ours = os.stat(path), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
