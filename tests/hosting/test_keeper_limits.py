"""What a service asks of the machine, and what it may not take."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

import pytest
from hosted import Hosted, is_listening

HUNGRY = """
held = []


def init():
    pass


def run(data):
    held.append(bytearray(300 << 20))
    return len(held)
"""


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"memory_gb": 100_000}, "memory"),
        ({"cpu_cores": 10_000}, "cores"),
        ({"gpu_cores": 200}, "GPUs"),
    ],
)
def test_more_than_the_machine_has_is_unschedulable(
    hosted: Hosted, asked: dict[str, Any], told: str
) -> None:
    hosted.add("large", **asked)
    seen = hosted.until_state("large", "Unschedulable")
    assert seen.error is not None
    assert told in seen.error["message"]
    assert seen.replicas == ()
    assert not is_listening(hosted.port("large"))
    hosted.update("large", memory_gb=0.1, cpu_cores=0.1, gpu_cores=0)
    hosted.until_state("large", "Healthy")


def test_a_taken_port_is_unschedulable_until_it_is_free(hosted: Hosted) -> None:
    with contextlib.closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        hosted.add("late", access={"port": port})
        seen = hosted.until_state("late", "Unschedulable")
        assert seen.error is not None
        assert str(port) in seen.error["message"]
    hosted.until_state("late", "Healthy")
    assert hosted.port("late") == port


def test_a_service_that_takes_too_much_memory_is_restarted(hosted: Hosted) -> None:
    hosted.add("hungry", HUNGRY, memory_gb_limit=0.4)
    before = hosted.until_state("hungry", "Healthy").replicas[0].pid
    for _ in range(2):
        hosted.answers("hungry")
    hosted.until(
        "hungry", lambda seen: all(one.pid != before for one in seen.replicas), "it was ended"
    )
    hosted.until_state("hungry", "Healthy")
    assert "memory_gb_limit" in hosted.layout.keeper_log.read_text()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no affinity")
def test_cores_are_limited(hosted: Hosted) -> None:
    hosted.add("small", cpu_cores_limit=0.5)
    pid = hosted.until_state("small", "Healthy").replicas[0].pid
    assert len(os.sched_getaffinity(pid)) == 1
