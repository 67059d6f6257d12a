"""Waits until this workspace has no keeper, then becomes it; ends one that hangs.

Imports next to nothing, so that waiting costs next to nothing. Both a new keeper and the one that
takes over begin here: whoever gets the lock keeps it through the exec.

    python -m calotype.hosting.standby ROOT
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from calotype.hosting import locks

LOCK_DESCRIPTOR = "CALOTYPE_KEEPER_LOCK_FD"
HANGS_AFTER_S = 60.0
"""How long a keeper may say nothing; a database that does not answer holds it up for less."""
_LOOKS = 6  # meanwhile


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
    threading.Thread(target=_end_hanging, args=[run / "keeper.lock"], daemon=True).start()
    lock = locks.Held.wait(run / "keeper.lock")
    if lock is None or not (root / "workspace.json").is_file():
        return
    lock.say({})  # not the number of a process that is no more
    os.set_inheritable(lock.descriptor, True)
    os.environ[LOCK_DESCRIPTOR] = str(lock.descriptor)
    os.execv(sys.executable, [sys.executable, "-m", "calotype.hosting.keeper", str(root)])  # noqa: S606


def _end_hanging(lock: Path) -> None:
    """End the keeper whenever it has not answered for long; the one who waits is the next.

    Looks are counted and not seconds: of a machine that slept, nobody could have answered.
    """
    unanswered, pid = 0, None
    while True:
        time.sleep(HANGS_AFTER_S / _LOOKS)
        said = locks.facts(lock)
        if said.get("pid") != pid or _answers(str(said.get("socket", ""))):
            unanswered, pid = 0, said.get("pid")
            continue
        unanswered += 1
        if unanswered >= _LOOKS and isinstance(pid, int) and pid != os.getpid():
            unanswered = 0
            if locks.is_held(lock):
                sys.stderr.write(f"keeper {pid} hangs and is ended\n")
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)


def _answers(path: str) -> bool:
    with contextlib.suppress(OSError), contextlib.closing(socket.socket(socket.AF_UNIX)) as link:
        link.settimeout(HANGS_AFTER_S / _LOOKS / 2)
        link.connect(path)
        link.sendall(b'{"do": "ping"}\n')
        return bool(link.recv(1))
    return False


if __name__ == "__main__":
    main()
