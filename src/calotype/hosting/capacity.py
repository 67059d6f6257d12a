"""What a revision asks of the machine, and whether the machine has it."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from calotype.workspace.service_settings import RuntimeSettings


@functools.cache
def _machine() -> tuple[float, int, int]:
    """Return memory in GB, cores and GPUs; they do not change while a keeper lives."""
    devices = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return psutil.virtual_memory().total / 1e9, os.cpu_count() or 1, devices


def shortage(runtime: RuntimeSettings) -> str:
    """Return why this machine can never run a replica, in a sentence; empty when it can."""
    memory_gb, cores, devices = _machine()
    asked = (
        ("memory_gb", runtime.memory_gb, memory_gb, "GB of memory"),
        ("cpu_cores", runtime.cpu_cores, cores, "cores"),
        ("gpu_cores", runtime.gpu_cores, devices, "GPUs"),
    )
    for name, wanted, there, unit in asked:
        if wanted > there:
            return (
                f"It asks for {wanted:g} {unit} ({name}), and this machine has {there:.3g}. "
                "Ask for less, or deploy it on a larger machine."
            )
    return ""
