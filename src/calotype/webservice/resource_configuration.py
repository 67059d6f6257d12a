"""What a model needs where it is served, as it is registered with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ResourceConfiguration:
    """Resources that suit a model; a deployment without its own takes these.

    Args:
        cpu: cores.
        memory_in_gb: of memory.
        gpu: cards.
    """

    cpu: float | None = None
    memory_in_gb: float | None = None
    gpu: int | None = None

    def serialize(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        return {"cpu": self.cpu, "memoryInGB": self.memory_in_gb, "gpu": self.gpu}

    @classmethod
    def of(cls, document: dict[str, Any]) -> ResourceConfiguration:
        """Return what `serialize` gave."""
        return cls(document.get("cpu"), document.get("memoryInGB"), document.get("gpu"))

    def runtime(self) -> dict[str, Any]:
        """Return the settings of a deployment that these are."""
        named = {"cpu_cores": self.cpu, "memory_gb": self.memory_in_gb, "gpu_cores": self.gpu}
        return {name: value for name, value in named.items() if value is not None}
