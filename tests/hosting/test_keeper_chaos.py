"""Anything may be killed at any moment: nothing that was registered is lost, states become true."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hosted import ECHO, Hosted, kill, until

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
    caller = Caller(hosted, 0, weights, said)
    try:
        while kills < KILLS:
            for _ in range(random_.randint(2, 5)):
                victim = random_.choice(VICTIMS)
                pids = [caller.process.pid] if victim == "CALLER" else hosted.pids(victim)
                if pids:
                    kills += kill(random_.choice(pids))  # unless it has just ended by itself
                time.sleep(random_.random() * 0.1)
            _until_right(hosted, names)
            if caller.process.poll() is not None:
                caller.end()
                caller = Caller(hosted, len(said) + 1000, weights, said)
    finally:
        caller.end()
    records = {one.name for one in hosted.workspace.services.list()}
    assert records == set(names)
    assert {name: hosted.port(name) for name in ports} == ports
    tags = {model.tags["number"] for model in hosted.workspace.models.list()}
    assert {str(number) for number in said} <= tags
    for name in names:
        hosted.delete(name)
    hosted.until_gone()


def _until_right(hosted: Hosted, names: tuple[str, ...]) -> None:
    """Wait until all answer again; no state may be a wrong one for long, however long it takes."""
    wrong_s: dict[str, float] = {}

    def is_right() -> bool:
        began_s = time.monotonic()
        told = {name: hosted.observe(name).state == "Healthy" for name in names}
        answering = {name: hosted.answers(name) for name in names}
        for name in names:
            if told[name] == answering[name]:
                wrong_s.pop(name, None)
            else:
                assert began_s - wrong_s.setdefault(name, began_s) < RIGHT_WITHIN_S, name
        return all(told.values()) and all(answering.values())

    try:
        until(is_right, "all is right again")
    except AssertionError as error:
        seen = {name: hosted.observe(name) for name in names}
        raise AssertionError(f"{seen}\n{hosted.processes()}\n{hosted.logs()}") from error


class Caller:
    """A process that registers all the time; what it has said, it has registered."""

    def __init__(self, hosted: Hosted, first: int, weights: Path, said: list[int]) -> None:
        root = hosted.workspace.place.root
        self.process = subprocess.Popen(
            [sys.executable, "-c", CALLER, str(root), str(first), str(weights)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._said = said
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            self._said.extend(int(line) for line in lines if line.endswith("\n"))

    def end(self) -> None:
        """End it, and have all that it has said."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
