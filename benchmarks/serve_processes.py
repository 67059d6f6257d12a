"""What the processes of a server cost: found as the descendants of its first one, read from /proc.

A mark in their environment finds those too that left the family, as daemons do.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

MARK = "CALOTYPE_BENCHMARK_SERVER"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
QUIET_SHARE = 0.1  # of the machine, for all that is neither server nor load
_TRIES = 3
_END_S = 10.0  # a server that has not drained by then is killed


@dataclass(frozen=True, slots=True)
class Process:
    """One process at one moment; `started` tells it from a later one with the same number."""

    pid: int
    parent: int
    started: int
    cpu_ticks: int
    is_dead: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """Of all processes together, in MB: pages counted in each (`rss`) or divided (`pss`)."""

    rss_mb: float
    pss_mb: float


def parse_stat(text: str) -> Process:
    """Read one line of /proc/PID/stat; the name in it may hold blanks and parentheses."""
    pid, _, rest = text.partition(" (")
    fields = rest.rpartition(")")[2].split()
    return Process(
        pid=int(pid),
        parent=int(fields[1]),
        started=int(fields[19]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        is_dead=fields[0] in "ZX",
    )


def descendants(processes: dict[int, Process], roots: set[int]) -> set[int]:
    """Return the roots that live and all their children, grandchildren and so on."""
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    todo = [pid for pid in roots if pid in processes]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo.extend(children.get(pid, ()))
    return found


class Tree:
    """The processes of one server.

    Args:
        pid: of the first one.
        mark: the value of `MARK` in its environment; empty when it has none.
    """

    def __init__(self, pid: int, mark: str = "") -> None:
        self._mark = f"{MARK}={mark}".encode() if mark else None
        self._known: dict[int, int] = {}
        self._root = pid

    def living(self) -> dict[int, Process]:
        """Return the processes that live now."""
        everything = _all_processes()
        known = {
            pid
            for pid, started in self._known.items()
            if pid in everything and everything[pid].started == started
        }
        roots = known | {self._root} | {pid for pid in everything if self._is_marked(pid)}
        found = {pid: everything[pid] for pid in descendants(everything, roots)}
        self._known |= {pid: process.started for pid, process in found.items()}
        return {pid: process for pid, process in found.items() if not process.is_dead}

    def memory(self) -> Memory:
        """Return the memory of all of them."""
        rss_kb = pss_kb = 0
        for pid in self.living():
            try:
                text = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii")
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended meanwhile
            values = {line.split(":")[0]: line.split() for line in text.splitlines()[1:]}
            rss_kb += int(values["Rss"][1])
            pss_kb += int(values["Pss"][1])
        return Memory(rss_kb * 1024 / 1e6, pss_kb * 1024 / 1e6)

    def end(self) -> None:
        """Ask all of them to end, then make them."""
        self._signal(signal.SIGTERM)
        deadline_s = time.monotonic() + _END_S
        while self.living() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        while self.living():
            self._signal(signal.SIGKILL)
            time.sleep(0.05)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.living():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue  # ended meanwhile

    def _is_marked(self, pid: int) -> bool:
        if self._mark is None:
            return False
        try:
            return self._mark in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:  # ended, or another user's
            return False


def cpu_s_between(before: dict[int, Process], after: dict[int, Process]) -> float:
    """Return the processor time that a tree used from one moment to another."""
    used = 0
    for pid, process in after.items():
        earlier = before.get(pid)
        known = earlier is not None and earlier.started == process.started
        used += process.cpu_ticks - (earlier.cpu_ticks if earlier and known else 0)
    return used / _TICKS_PER_S


def machine_busy_s() -> float:
    """Return how long the machine's cores have worked, work on interrupts not counted."""
    with (_PROC / "stat").open(encoding="ascii") as file:
        user, nice, system, _, _, _, _, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + steal) / _TICKS_PER_S


def own_cpu_s() -> float:
    """Return the processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Watch:
    """How much of the machine strangers take, from its making on.

    Args:
        tree: the server, when it runs already.
    """

    def __init__(self, tree: Tree | None = None) -> None:
        self._before = tree.living() if tree else {}
        self._own_s = own_cpu_s()
        self._started_s = time.perf_counter()
        self._busy_s = machine_busy_s()

    def server_s(self, tree: Tree) -> float:
        """Return the processor time that the server has used since."""
        return cpu_s_between(self._before, tree.living())

    def others(self, tree: Tree) -> float:
        """Return the share of all cores that neither the server nor we and our children took."""
        known_s = self.server_s(tree) + own_cpu_s() - self._own_s
        others_s = machine_busy_s() - self._busy_s - known_s
        passed_s = time.perf_counter() - self._started_s
        return max(0.0, others_s) / passed_s / (os.cpu_count() or 1)


def undisturbed(run: Callable[[], T], tree: Tree) -> tuple[T, bool]:
    """Run until strangers took less than a tenth of the machine meanwhile, three times at most.

    Returns:
        What the last run gave, and whether it was disturbed too.
    """
    watch = Watch(tree)
    result = run()
    for _ in range(_TRIES - 1):
        if watch.others(tree) <= QUIET_SHARE:
            return result, False
        watch = Watch(tree)
        result = run()
    return result, watch.others(tree) > QUIET_SHARE


def _all_processes() -> dict[int, Process]:
    found: dict[int, Process] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = parse_stat((entry / "stat").read_text(errors="replace"))
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended meanwhile
    return found
