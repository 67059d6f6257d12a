"""Waits until this workspace has no keeper, then becomes it.

Imports next to nothing, so that waiting costs next to nothing. Both a new keeper and the one that
takes over begin here: whoever gets the lock keeps it through the exec.

    python -m calotype.hosting.standby ROOT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from calotype.hosting import locks

LOCK_DESCRIPTOR = "CALOTYPE_KEEPER_LOCK_FD"


def main() -> None:
    """Leave whoever started us, wait for the lock, become the keeper."""
    root = Path(sys.argv[1])
    if os.fork():
        os._exit(0)  # so that nobody has to wait for our end
    run = root / "run"
    if not run.is_dir():
        return
    waiting = locks.Held.take(run / "standby.lock")
    if waiting is None:
        return  # one is enough
    waiting.say({})
    lock = locks.Held.wait(run / "keeper.lock")
    if lock is None or not (root / "workspace.json").is_file():
        return
    os.set_inheritable(lock.descriptor, True)
    os.environ[LOCK_DESCRIPTOR] = str(lock.descriptor)
    os.execv(sys.executable, [sys.executable, "-m", "calotype.hosting.keeper", str(root)])  # noqa: S606


if __name__ == "__main__":
    main()
