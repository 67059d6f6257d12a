"""Workers of several generations: reloads, fork servers that die, scripts that own threads."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from running_script import ask, death_told, events, is_alive, parent_of, refused, running, until

from calotype.serving.entry import supervisor
from calotype.serving.entry.script_service import ScriptService

THREADED = """
import json, os, pathlib, queue, threading
asked, done = queue.Queue(), queue.Queue()
def serve():
    while True:
        done.put(asked.get() * 2)
threading.Thread(target=serve, daemon=True).start()
"""
COUNTED = """
import json, os, pathlib
with (pathlib.Path(__file__).parent / "imports").open("a") as file:
    file.write("x")
"""
TORCH = """
import json, torch
layer = torch.nn.Linear(512, 512)
known = layer(torch.ones(512, 512)).shape
def run(raw_data):
    return list(layer(torch.ones(512, 512)).shape)
"""


@dataclass(frozen=True, slots=True)
class Hanging:
    """A worker that hangs, the fork server that it comes from, and the request that does it."""

    pid: int
    fork_server: int
    request: asyncio.Task[Any]


async def hanging(service: ScriptService) -> Hanging:
    """Let the only worker hang."""
    pid = (await ask(service, 1))["pid"]
    fork_server = parent_of(pid)
    request = asyncio.create_task(refused(service, "hang"))
    await until(lambda: _blocks_alarm(pid))
    return Hanging(pid, fork_server, request)


def _blocks_alarm(pid: int) -> bool:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return True  # it has, and was killed for it before anybody looked
    blocked = next(int(line.split()[1], 16) for line in lines if line.startswith("SigBlk"))
    return bool(blocked & (1 << (signal.SIGALRM - 1)))


def test_a_worker_that_hangs_is_killed_after_a_reload_too(tmp_path: Path, log: Path) -> None:
    async def scenario() -> None:
        limits: dict[str, Any] = {"scoring_timeout_ms": 2_000, "max_concurrent_requests": 2}
        async with running(tmp_path / "score.py", log, **limits) as service:
            stuck = await hanging(service)
            behind = asyncio.create_task(ask(service, 5))
            await service.reload()
            assert await stuck.request == 504
            assert (await behind)["order"] == 5
            await until(lambda: not is_alive(stuck.pid))
            await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    asyncio.run(scenario())


def test_a_worker_that_hangs_does_not_outlive_its_fork_server_for_long(
    tmp_path: Path, log: Path
) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log, scoring_timeout_ms=1_000) as service:
            stuck = await hanging(service)
            os.kill(stuck.fork_server, signal.SIGKILL)
            assert await stuck.request == 504
            await until(lambda: not is_alive(stuck.pid))
            assert (await ask(service, 1))["order"] == 1

    asyncio.run(scenario())


def test_the_end_reaches_workers_whose_fork_server_is_dead(tmp_path: Path, log: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log) as service:
            stuck = await hanging(service)
            os.kill(stuck.fork_server, signal.SIGKILL)
            await until(lambda: service.ready_workers == 1 and service.restarts == 0)
            await until(lambda: any(e["event"] == "fork server died" for e in events(log)))
        await until(lambda: not is_alive(stuck.pid))
        stuck.request.cancel()

    asyncio.run(scenario())


def test_a_script_may_start_threads_when_it_is_imported(tmp_path: Path, log: Path) -> None:
    run = "def run(data):\n    asked.put(json.loads(data))\n    return done.get(timeout=10)\n"

    async def scenario() -> None:
        text = COUNTED + THREADED + run
        async with running(tmp_path / "score.py", log, text, workers=2) as service:
            assert await asyncio.gather(*(ask(service, n) for n in range(4))) == [0, 2, 4, 6]

    asyncio.run(scenario())
    assert any(event["event"] == "each worker imports the script" for event in events(log))


def test_an_ordinary_script_is_imported_once(tmp_path: Path, log: Path) -> None:
    # numpy's threads end before a fork and start again when they are needed.
    text = COUNTED + "import numpy\nseen = numpy.ones((300, 300)) @ numpy.ones((300, 300))\n"
    text += "def run(data):\n    return float((seen @ seen)[0, 0])\n"

    async def scenario() -> None:
        async with running(tmp_path / "score.py", log, text, workers=2) as service:
            assert await asyncio.gather(*(ask(service, 1) for _ in range(4))) == [27e6] * 4

    asyncio.run(scenario())
    assert (tmp_path / "imports").read_text() == "x"


def test_an_import_that_fails_in_a_worker_is_told(tmp_path: Path, log: Path) -> None:
    text = THREADED + "if 'again' in os.listdir(pathlib.Path(__file__).parent):\n"
    text += "    raise KeyError('the second time')\n"
    text += "(pathlib.Path(__file__).parent / 'again').touch()\ndef run(data): pass\n"

    async def scenario() -> None:
        async with running(tmp_path / "score.py", log, text):
            pass

    from calotype.errors import ScriptFailed

    with pytest.raises(ScriptFailed) as caught:
        asyncio.run(scenario())
    assert "the second time" in caught.value.trace


@pytest.mark.slow
def test_a_script_may_use_torch_when_it_is_imported(tmp_path: Path, log: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log, TORCH) as service:
            assert await ask(service, 1) == [512, 512]

    asyncio.run(scenario())


def always(delay_s: float) -> Callable[[int], float]:
    return lambda attempts: delay_s


def test_a_reload_while_a_worker_is_to_be_restarted_makes_no_worker_too_many(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reloaded(service: ScriptService) -> bool:
        """Reload while a worker is missing; tell whether that was before its successor's time."""
        pid = (await ask(service, 1))["pid"]
        server, restarts = parent_of(pid), service.restarts
        assert await refused(service, "exit") == 502
        await service.reload()
        new = (await ask(service, 1))["pid"]
        assert parent_of(new) != server
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
        assert service.ready_workers == 1
        assert _children_of(parent_of(new)) == {new}
        return service.restarts == restarts

    async def scenario() -> None:
        async with running(tmp_path / "score.py", log) as service:
            assert await refused(service, "exit") == 502
            await until(lambda: service.restarts == 1)
            await until(lambda: service.ready_workers == 1)
            for delay_s in (0.8, 4.0, 20.0):  # more than a reload takes, on however slow a machine
                monkeypatch.setattr(supervisor, "_delay_s", always(delay_s))
                if await reloaded(service):
                    return
        pytest.fail("each reload took longer than the wait for another worker")

    asyncio.run(scenario())


def test_a_reload_while_all_is_started_over_leaves_one_generation(
    tmp_path: Path, log: Path
) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log) as service:
            os.kill(parent_of((await ask(service, 1))["pid"]), signal.SIGKILL)
            await until(lambda: any(e["event"] == "fork server died" for e in events(log)))
            await service.reload()
            await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
            assert service.ready_workers == 1
            assert len(_children_of(os.getpid(), "fork_server")) == 1

    asyncio.run(scenario())


def _children_of(parent: int, named: str = "") -> set[int]:
    found: set[int] = set()
    for folder in Path("/proc").iterdir():
        try:
            is_child = folder.name.isdigit() and parent_of(int(folder.name)) == parent
            if is_child and named.encode() in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
        except OSError:
            continue  # it has ended
    return found


def test_what_cannot_be_started_now_is_started_later(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log) as service:
            worker = (await ask(service, 1))["pid"]
            with monkeypatch.context() as patch:
                patch.setattr(sys, "executable", "/nowhere/python")
                os.kill(parent_of(worker), signal.SIGKILL)
                await until(lambda: any(e["event"] == "restart failed" for e in events(log)))
            await until(lambda: not is_alive(worker))
            await until(lambda: service.ready_workers == 1)
            assert (await ask(service, 1))["order"] == 1

    asyncio.run(scenario())


def test_a_signal_without_a_name_is_told_by_its_number(tmp_path: Path, log: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log) as service:
            worker = (await ask(service, 1))["pid"]
            server = parent_of(worker)
            os.kill(worker, 40)
            await until(lambda: service.restarts == 1)
            await until(lambda: service.ready_workers == 1)
            assert parent_of((await ask(service, 1))["pid"]) == server
            await death_told(log)

    asyncio.run(scenario())
    death = next(event for event in events(log) if event["event"] == "worker died")
    assert death["signal"] == "signal 40"


def test_a_script_sees_no_keys(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["CALOTYPE_PRIMARY_KEY", "CALOTYPE_SECONDARY_KEY"]
    for name in names:
        monkeypatch.setenv(name, "k" * 32)
    monkeypatch.setenv("OTHER", "seen")
    text = "import os\ndef run(data):\n    return dict(os.environ)\n"

    async def scenario() -> None:
        async with running(tmp_path / "score.py", log, text) as service:
            seen = await ask(service, 1)
            assert seen["OTHER"] == "seen"
            assert not set(names) & set(seen)
            assert "k" * 32 not in json.dumps(seen)

    asyncio.run(scenario())
