"""What a revision asks of the machine, and whether the machine has it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from calotype.workspace.service_settings import RuntimeSettings


def shortage(runtime: RuntimeSettings) -> str:
    """Return why this machine can never run a replica, in a sentence; empty when it can."""
    memory_gb = psutil.virtual_memory().total / 1e9
    cores = os.cpu_count() or 1
    devices = len(list(Path("/dev").glob("nvidia[0-9]*")))
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
