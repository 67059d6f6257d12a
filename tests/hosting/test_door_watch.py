"""A front door that says nothing any more is told, and ended when it goes on so."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from hosted import Hosted, until

from calotype.hosting import control, locks
from calotype.hosting.door_process import DoorProcess
from calotype.hosting.door_watch import DoorWatch, Patience

HOLDS_A_LOCK = """
import sys, time
from pathlib import Path
from calotype.hosting import locks

held = locks.Held.take(Path(sys.argv[1]))
held.say({"state": "ready"})
print("ready", flush=True)
time.sleep(600)
"""
HASTY = Patience(answers_within_s=0.05, silent_after=2, hangs_after=5)


@pytest.mark.slow
def test_services_say_that_the_front_door_is_silent_and_when_it_is_back(hosted: Hosted) -> None:
    hosted.add("echo", target="cluster", num_replicas=1)
    hosted.until_state("echo", "Healthy")
    door = locks.facts(hosted.layout.front_door_lock)["pid"]
    os.kill(door, signal.SIGSTOP)
    seen = hosted.until_state("echo", "Unhealthy")
    assert (seen.error or {})["message"] == "The front door does not answer."
    os.kill(door, signal.SIGCONT)
    hosted.until_state("echo", "Healthy")
    until(lambda: hosted.answers("echo"), "it answers")
    assert locks.facts(hosted.layout.front_door_lock)["pid"] == door


def test_one_that_answers_never_again_is_ended(hosted: Hosted) -> None:
    lock, socket = hosted.layout.front_door_lock, hosted.layout.front_door_socket
    told: list[bool] = []

    async def never(_command: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(600)
        return {}

    async def watched() -> None:
        place = DoorProcess(hosted.workspace.place.root, hosted.layout, lambda: None)
        watch = DoorWatch(place, socket, lambda: told.append(watch.is_answering), HASTY)
        for _ in range(3 * HASTY.hangs_after):  # it is about to end, and takes no commands
            await watch.look()
        assert told == []
        assert place.is_running
        server = await control.listen(socket, {"ping": never}, log="x.log")
        async with asyncio.timeout(60):
            while place.is_running:
                await watch.look()
            await watch.look()  # there is none that could be silent
        server.close()

    lock.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HOLDS_A_LOCK, lock]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            asyncio.run(watched())
            assert process.wait(60) == -signal.SIGKILL
        finally:
            process.kill()
    assert told == [False, True]
