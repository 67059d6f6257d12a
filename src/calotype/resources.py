"""How much of this machine a process may use: what affinity and containers leave it."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_OWN_GROUPS: Final = Path("/proc/self/cgroup")
_GROUPS: Final = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return how many cores there are for this process, at least one.

    Those that it may run on, or the share of them that its container has, rounded up.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min([cores, *map(math.ceil, _core_limits())]))


def usable_memory_bytes() -> int:
    """Return how much memory there is for this process: that of the machine, or its container's."""
    import psutil

    return min([psutil.virtual_memory().total, *_memory_limits()])


def _core_limits() -> Iterator[float]:
    for group in _groups("cpu"):
        old = _numbers(group / "cpu.cfs_quota_us") + _numbers(group / "cpu.cfs_period_us")
        for said in (_numbers(group / "cpu.max"), old):
            if len(said) == 2:
                allowed, period = said
                yield allowed / period


def _memory_limits() -> Iterator[int]:
    for group in _groups("memory"):
        yield from _numbers(group / "memory.max")
        yield from _numbers(group / "memory.limit_in_bytes")


def _groups(controller: str) -> Iterator[Path]:
    """Yield the control groups of this process: its own, and those around it."""
    with contextlib.suppress(OSError):
        for line in _OWN_GROUPS.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            outermost = _GROUPS / controller if controllers else _GROUPS  # version 1 or 2
            own = outermost / path.lstrip("/")
            for group in (own, *own.parents):
                yield group
                if group == outermost:
                    break


def _numbers(file: Path) -> list[int]:
    """Return what a file limits; nothing when it says "max", or is not there."""
    with contextlib.suppress(OSError, ValueError):
        numbers = [int(word) for word in file.read_text(encoding="ascii").split()]
        return numbers if all(number > 0 for number in numbers) else []
    return []
