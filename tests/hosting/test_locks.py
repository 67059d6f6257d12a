"""A lock is had by one process at a time, and whoever only looks at it keeps nobody from it."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

from calotype.hosting import locks

LOOKS_S = 0.1


def test_who_looks_for_long_keeps_nobody_from_a_lock(tmp_path: Path) -> None:
    """As a process does that the system puts aside while it looks."""
    path = tmp_path / "lock"
    looks = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(looks, fcntl.LOCK_SH)
    threading.Timer(LOOKS_S, os.close, [looks]).start()
    lock = locks.Held.take(path)
    assert lock is not None
    with lock:
        assert locks.is_held(path)
        began_s = time.monotonic()
        assert locks.Held.take(path) is None
        assert time.monotonic() - began_s < 1
    assert not locks.is_held(path)
