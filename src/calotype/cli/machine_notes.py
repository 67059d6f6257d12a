"""What a service asks of this machine that works, and yet is hardly meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calotype.resources import usable_cores, usable_memory_bytes

if TYPE_CHECKING:
    from calotype.cli.terminal import Terminal
    from calotype.workspace.services import Service


def warn_of_replicas(terminal: Terminal, service: Service, version: str | None = None) -> None:
    """Say when more replicas start than the machine has cores, or memory for."""
    if service.target == "batch":
        return
    for one in service.versions:
        if version in (None, one.name):
            runtime = one.wanted.runtime
            least = runtime.num_replicas
            if least is None:
                least = runtime.autoscale_min_replicas if service.target == "cluster" else 1
            if note := of_replicas(least, runtime.memory_gb):
                terminal.progress.say(f"note: {note}")


def of_replicas(replicas: int, memory_gb: float) -> str:
    """Return what is to be said of so many replicas here; empty for nothing."""
    cores = usable_cores()
    there_gb = usable_memory_bytes() / 1e9
    if replicas > 1 and replicas * memory_gb > there_gb:
        return (
            f"{replicas} replicas ask for {replicas * memory_gb:.3g} GB of memory, and this "
            f"machine has {there_gb:.3g} GB: some may not start, or be ended."
        )
    if replicas > cores:
        return (
            f"{replicas} replicas share {cores} {'core' if cores == 1 else 'cores'}: more replicas "
            "than cores take memory and answer no faster."
        )
    return ""
