"""Requests that lie ready at a worker: begun once, by whoever is free first, and lost by nobody."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from running_script import ask, refused, running, until

SCRIPT = """
import json, os, time

def run(raw_data):
    number, seconds = json.loads(raw_data)
    with open(os.environ["BEGUN"], "a") as file:
        file.write(f"{number}\\n")
    if seconds == -1:
        os._exit(1)
    if seconds == "gate":
        while not os.path.exists(os.environ["BEGUN"] + ".go"):
            time.sleep(0.005)
        return number
    time.sleep(seconds)
    return number
"""


def begun(log: Path) -> list[int]:
    return [int(line) for line in log.with_name("begun").read_text().split()]


def test_what_lies_behind_a_slow_request_goes_to_another_worker(
    tmp_path: Path, log: Path, environment: None
) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log, SCRIPT, workers=2) as service:
            for number in range(80):  # the service learns that the script is fast
                await ask(service, [number, 0])
            slow = asyncio.create_task(ask(service, [100, "gate"]))
            short = asyncio.create_task(ask(service, [101, 0.1]))
            behind = [asyncio.create_task(ask(service, [102 + one, 0])) for one in range(4)]
            assert await asyncio.gather(*behind) == [102, 103, 104, 105]
            assert not slow.done()
            log.with_name("begun.go").touch()
            assert await asyncio.gather(slow, short) == [100, 101]
            assert await ask(service, [106, 0]) == 106
            await asyncio.gather(*(ask(service, [110 + one, 0]) for one in range(30)))

    asyncio.run(scenario())
    assert sorted(begun(log)) == [*range(80), *range(100, 107), *range(110, 140)]


def test_what_lies_ready_at_a_worker_that_dies_is_answered_by_the_next(
    tmp_path: Path, log: Path, environment: None
) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log, SCRIPT) as service:
            for number in range(80):
                await ask(service, [number, 0])
            dying = asyncio.create_task(refused(service, [100, -1]))
            behind = asyncio.create_task(ask(service, [101, 0]))
            assert await dying == 502
            assert await behind == 101
            await until(lambda: service.ready_workers == 1)

    asyncio.run(scenario())
    assert begun(log)[80:] == [100, 101]


def test_every_request_is_begun_once_whatever_comes_together(
    tmp_path: Path, log: Path, environment: None
) -> None:
    drawn = random.Random(4)
    orders = [[number, 0 if drawn.random() < 0.97 else 0.05] for number in range(600)]

    async def scenario() -> None:
        async with running(tmp_path / "score.py", log, SCRIPT, workers=3) as service:
            gate = asyncio.Semaphore(24)

            async def one(order: list[float]) -> float:
                async with gate:
                    return await ask(service, order)

            assert await asyncio.gather(*map(one, orders)) == list(range(600))

    asyncio.run(scenario())
    assert sorted(begun(log)) == list(range(600))
