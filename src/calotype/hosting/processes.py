"""Looking after processes that need not be our children: their end, memory and remains."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil

from calotype.hosting.launching import REPLICA_MARK

_POLL_S = 0.5
_OF_WORKSPACE = {"calotype.hosting.standby", "calotype.hosting.keeper"}
"""What a replica starts that is not its own: it brings back a keeper."""


class Watch:
    """Calls back when a process has ended.

    Args:
        pid: of a process that lives now.
        ended: called once, in the running event loop.
        process: the same one when it is our child, which must be waited for.

    Attributes:
        family: what it has started.
    """

    def __init__(
        self, pid: int, ended: Callable[[], None], process: subprocess.Popen[bytes] | None = None
    ) -> None:
        self._pid = pid
        self.family = Family(pid)
        self._ended = ended
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._descriptor = -1
        self._timer: asyncio.TimerHandle | None = None
        try:
            self._descriptor = os.pidfd_open(pid)
        except (AttributeError, OSError):  # not Linux; or it has ended already
            self._timer = self._loop.call_soon(self._poll)  # type: ignore[assignment]
        else:
            self._loop.add_reader(self._descriptor, self._tell)

    def kill(self) -> None:
        """End the process now; what it has started is looked up before, as nobody can after."""
        self.family.look()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._descriptor >= 0:
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
            else:
                os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _poll(self) -> None:
        is_gone = not psutil.pid_exists(self._pid)
        if self._process is not None:
            is_gone = self._process.poll() is not None
        if is_gone:
            self._tell()
        else:
            self._timer = self._loop.call_later(_POLL_S, self._poll)

    def _tell(self) -> None:
        self.close()
        if self._process is not None:
            self._process.wait()
        self._ended()


def memory_of_tree(pid: int) -> int:
    """Return the bytes of memory that a process and its descendants hold; 0 when it has ended."""
    return sum(_memory(one) for one in tree(pid))


def exceeds(pid: int, limit_bytes: int) -> int:
    """Return what a process and its descendants hold when it is more than a limit, else 0."""
    # Counts twice what they share, and costs a tenth.
    if sum(_resident(one) for one in tree(pid)) <= limit_bytes:
        return 0
    held = memory_of_tree(pid)
    return held if held > limit_bytes else 0


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for one in found:  # grows meanwhile
        found += _children(one)
    return found


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(one) for task in tasks for one in (task / "children").read_text().split()]
    except OSError:
        pass
    if Path("/proc/self/task").is_dir():
        return []  # it has ended
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def _memory(pid: int) -> int:
    """Return what it does not share, and its part of what it shares, where the system tells."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(text.split("\nPss:", 1)[1].split(None, 1)[0]) << 10
    return _resident(pid)


def _resident(pid: int) -> int:
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


class Family:
    """What a process has started, as far as it was seen, whoever its parent is by now.

    Args:
        pid: of the process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: set[psutil.Process] = set()  # told apart from others with their numbers

    def look(self) -> None:
        """Take note of those that live."""
        found = {one for one in self._known if one.is_running()}
        for pid in tree(self._pid)[1:]:
            with contextlib.suppress(psutil.Error):
                found.add(psutil.Process(pid))
        self._known = found

    def kill(self) -> None:
        """End all of them."""
        for one in self._known:
            with contextlib.suppress(psutil.Error):
                if not _OF_WORKSPACE.intersection(one.cmdline()):
                    one.kill()


def kill_remains(replica: str, family: Family | None = None) -> list[int]:
    """End what a replica that has ended has left behind, and return what bore its mark.

    A mark tells of processes that nobody has seen; the family has those without one.
    """
    if family is not None:
        family.kill()
    killed: list[int] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(REPLICA_MARK) == replica:
                process.kill()
                killed.append(process.pid)
    return killed
