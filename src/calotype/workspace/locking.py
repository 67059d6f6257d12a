"""Lock files that are waited for; a dead process holds nothing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from pathlib import Path

from calotype import errors, files

_PAUSE_S = 0.02


@contextlib.contextmanager
def waiting(path: Path, *, timeout_s: float = 30.0) -> Generator[None]:
    """Hold the lock file `path`, as soon as nobody else does.

    Raises:
        Busy: another process has held it all the time.
        CannotWrite: the file cannot be made.
    """
    until_s = time.monotonic() + timeout_s
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(files.locked(path, what=str(path.parent)))
                break
            except errors.Busy:
                if time.monotonic() > until_s:
                    raise
            time.sleep(_PAUSE_S)
        yield
