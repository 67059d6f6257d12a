"""Replicas that this machine can hardly run."""

from __future__ import annotations

from calotype.cli.machine_notes import of_replicas
from calotype.resources import usable_cores, usable_memory_bytes


def test_more_replicas_than_cores_or_memory_are_told() -> None:
    cores = usable_cores()
    assert of_replicas(cores, 0.001) == ""
    assert f"{cores + 1} replicas share {cores} core" in of_replicas(cores + 1, 0.001)
    there_gb = usable_memory_bytes() / 1e9
    assert "GB of memory" in of_replicas(2, 0.6 * there_gb)
    assert of_replicas(1, 0.6 * there_gb) == ""
