"""What a service asks of the machine, and what it may not take."""

from __future__ import annotations

import os
import signal

import pytest
from hosted import Hosted, is_listening

from calotype import errors
from calotype.hosting.management.ports import free_port
from calotype.hosting.observation import Observation
from calotype.resources import usable_memory_bytes
from calotype.serving.server import listen
from calotype.workspace.service_settings import RuntimeSettings

AT_ONCE = 4
HUNGRY = """
held = []


def init():
    pass


def run(data):
    held.append(bytearray(300 << 20))
    return len(held)
"""


def test_more_than_the_machine_has_is_unschedulable(hosted: Hosted) -> None:
    hosted.add("large", cpu_cores=10_000)
    seen = hosted.until_state("large", "Unschedulable")
    assert seen.error is not None
    assert "10000 cores" in seen.error["message"]
    assert seen.replicas == ()
    assert not is_listening(hosted.port("large"))
    hosted.update("large", cpu_cores=0.1)
    hosted.until_state("large", "Healthy")


def test_a_taken_port_is_unschedulable_until_it_is_free(hosted: Hosted) -> None:
    port = free_port(hosted.workspace, "127.0.0.1")
    with listen("127.0.0.1", port):
        hosted.add("late", access={"port": port})
        seen = hosted.until_state("late", "Unschedulable")
        assert seen.error is not None
        assert str(port) in seen.error["message"]
        assert "calotype service update -n late --port" in seen.error["message"]
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


def test_services_share_what_the_machine_has(hosted: Hosted) -> None:
    most_gb = round(usable_memory_bytes() / 1e9 * 0.6, 1)
    hosted.add("first", memory_gb=most_gb)
    before = hosted.until_state("first", "Healthy")
    hosted.add("second", memory_gb=most_gb)
    error = hosted.until_state("second", "Unschedulable").error
    assert error is not None
    assert f"'first' ({most_gb:g})" in error["message"]
    assert hosted.observe("first").replicas[0].pid == before.replicas[0].pid
    number = hosted.update("first", memory_gb=0.3)  # beside the old one, which leaves afterwards
    hosted.until("first", lambda seen: seen.versions["default"].serving_revision == number, "small")
    assert hosted.until_state("second", "Healthy").error is None
    hosted.update("first", memory_gb=most_gb)
    hosted.until("first", lambda seen: seen.error is not None, "it cannot grow again")
    assert hosted.until_state("first", "Healthy").error is not None
    assert hosted.answers("first")
    hosted.delete("second")
    hosted.until("first", lambda seen: seen.versions["default"].serving_revision == 3, "it grows")


def test_what_served_is_started_again_while_its_update_has_failed(hosted: Hosted) -> None:
    hosted.add("echo")
    hosted.until_state("echo", "Healthy")
    hosted.update("echo", "def init():\n    raise ValueError('no')\n\n\ndef run(data):\n    pass\n")
    hosted.until("echo", lambda seen: seen.error is not None, "the update has failed")
    before = _ready_pids(hosted.observe("echo"))
    os.kill(before[0], signal.SIGKILL)  # after a failure it is not started again at once
    hosted.until("echo", lambda seen: _ready_pids(seen) not in ([], before), "another one is ready")
    assert hosted.answers("echo")


def _ready_pids(seen: Observation) -> list[int]:
    return [one.pid for one in seen.replicas if one.state == "ready"]


def test_no_more_than_a_few_replicas_start_at_a_time(hosted: Hosted) -> None:
    gate = hosted.folder / "gate"
    script = f"""
import os
import time


def init():
    while not os.path.exists({str(gate)!r}):
        time.sleep(0.02)


def run(data):
    return 1
"""
    hosted.add("many", script, target="cluster", num_replicas=6, memory_gb=0.01)
    hosted.until("many", lambda seen: len(seen.replicas) == AT_ONCE, "the first ones start")
    hosted.change("many", description="it looks again")
    assert len(hosted.observe("many").replicas) == AT_ONCE
    gate.touch()
    hosted.until("many", lambda seen: seen.versions["default"].replicas == 6, "all are ready")


@pytest.mark.parametrize(
    "name", ["num_replicas", "autoscale_min_replicas", "autoscale_max_replicas"]
)
def test_a_million_replicas_are_refused(name: str) -> None:
    with pytest.raises(errors.NotInRange, match=f"(?s){name}.*200"):
        RuntimeSettings.of({name: 1_000_000})


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no affinity")
def test_cores_are_limited(hosted: Hosted) -> None:
    hosted.add("small", cpu_cores_limit=0.5)
    pid = hosted.until_state("small", "Healthy").replicas[0].pid
    assert len(os.sched_getaffinity(pid)) == 1
