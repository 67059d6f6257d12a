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


def shortage(runtime: RuntimeSettings, replicas: int = 1) -> str:
    """Return why this machine can never run so many replicas, in a sentence; empty when it can."""
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
    if runtime.memory_gb * replicas > memory_gb:
        return (
            f"It asks for {replicas} replicas with {runtime.memory_gb:g} GB of memory each "
            f"(memory_gb), which is {runtime.memory_gb * replicas:.4g} GB, and this machine has "
            f"{memory_gb:.3g}. Ask for fewer or smaller ones, or deploy it on a larger machine."
        )
    return ""


def most_replicas(runtime: RuntimeSettings) -> int:
    """Return how many replicas have room in the memory of this machine, at least one."""
    return max(1, int(_machine()[0] / runtime.memory_gb))
