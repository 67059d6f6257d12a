"""Anything may be killed at any moment: nothing that was registered is lost, states become true."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from hosted import ECHO, Hosted, until

KILLS = 100
RIGHT_WITHIN_S = 10.0
VICTIMS = (
    "hosting.keeper",
    "hosting.standby",
    "hosting.replica",
    "serving.entry.fork_server",
    "hosting.front_door",
    "CALLER",
)
# A caller that registers models and changes records all the time; killed in the midst of that.
CALLER = """
import sys
from calotype.workspace.workspace import Workspace

CALLER = "CALLER"
workspace = Workspace.from_config(sys.argv[1])
number = int(sys.argv[2])
while True:
    number += 1
    workspace.models.register(sys.argv[3], f"made-{number % 7}", tags={"number": str(number)})
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_hundred_kills_lose_nothing(hosted: Hosted) -> None:
    random_ = random.Random(20)
    weights = hosted.folder / "weights.bin"
    weights.write_bytes(b"weights")
    hosted.add("one", workers=2)
    hosted.add("two", ECHO.replace("1", "5"), target="instance")
    hosted.add("many", target="cluster", num_replicas=2)
    names = ("one", "two", "many")
    for name in names:
        hosted.until_state(name, "Healthy")
    ports = {name: hosted.port(name) for name in ("one", "two")}
    said: list[int] = []
    kills = 0
    caller = _caller(hosted, 0, weights, said)
    try:
        while kills < KILLS:
            for _ in range(random_.randint(2, 5)):
                victim = random_.choice(VICTIMS)
                pids = [caller.pid] if victim == "CALLER" else hosted.pids(victim)
                if pids:
                    os.kill(random_.choice(pids), signal.SIGKILL)
                    kills += 1
                time.sleep(random_.random() * 0.1)
            _until_right(hosted, names)
            if caller.poll() is not None:
                caller.communicate()
                caller = _caller(hosted, len(said) + 1000, weights, said)
    finally:
        caller.kill()
        caller.communicate()
    records = {one.name for one in hosted.workspace.services.list()}
    assert records == set(names)
    assert {name: hosted.port(name) for name in ports} == ports
    tags = {model.tags["number"] for model in hosted.workspace.models.list()}
    assert {str(number) for number in said} <= tags
    for name in names:
        hosted.delete(name)
    hosted.until_gone()


def _until_right(hosted: Hosted, names: tuple[str, ...]) -> None:
    def is_right() -> bool:
        states = {hosted.observe(name).state for name in names}
        return states == {"Healthy"} and all(map(hosted.answers, names))

    try:
        until(is_right, "all is right again", limit_s=RIGHT_WITHIN_S)
    except AssertionError as error:
        seen = {name: hosted.observe(name) for name in names}
        raise AssertionError(f"{seen}\n{hosted.processes()}\n{hosted.logs()}") from error


def _caller(hosted: Hosted, first: int, weights: object, said: list[int]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(hosted.workspace.place.root), str(first), str(weights)],
        stdout=subprocess.PIPE,
        text=True,
    )
    stream = process.stdout
    assert stream is not None

    def read() -> None:
        for line in stream:
            if line.endswith("\n"):
                said.append(int(line))

    threading.Thread(target=read, daemon=True).start()
    return process
