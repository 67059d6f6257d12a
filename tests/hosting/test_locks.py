"""A lock is had by one process at a time, and whoever only looks at it keeps nobody from it."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import closing
from pathlib import Path
from unittest import mock

from calotype.hosting import locks
from calotype.hosting.kept_replica import found_replicas
from calotype.hosting.layout import Layout
from calotype.workspace.workspace import Workspace

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


def test_what_a_lock_says_is_exchanged_in_one_step(tmp_path: Path) -> None:
    """Whoever says it may be put aside after any step."""
    lock = locks.Held.take(tmp_path / "lock")
    assert lock is not None
    with lock, mock.patch.object(os, "ftruncate"):
        lock.say({"said": "a long sentence"})
        lock.say({"said": "a word"})
        assert locks.facts(lock.path) == {"pid": os.getpid(), "said": "a word"}


def test_a_lock_that_goes_while_somebody_looks_is_nobodys(tmp_path: Path) -> None:
    with closing(Workspace.create("locks", tmp_path)) as workspace:
        layout = Layout.of(workspace.place)
        path = layout.replica_lock("echo", "gone")
        path.parent.mkdir(parents=True)
        path.symlink_to("nowhere")  # it is listed, and not there when it is looked at
        assert found_replicas(layout, "echo") == {}
