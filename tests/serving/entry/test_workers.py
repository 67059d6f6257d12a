"""Worker processes: what they answer, how they die, and who takes their place."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from running_script import (
    SCRIPT,
    answered,
    ask,
    death_told,
    events,
    is_alive,
    parent_of,
    refused,
    running,
    until,
)

from calotype.errors import ScriptFailed
from calotype.serving.exchange import Request
from calotype.serving.refusals import Refusal


def test_requests_are_answered_by_other_processes(tmp_path: Path, log: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log, workers=2) as service:
            answers = await asyncio.gather(*(ask(service, 0.1) for _ in range(4)))
            pids = {answer["pid"] for answer in answers}
            assert len(pids) == 2
            assert os.getpid() not in pids
        assert not any(is_alive(pid) for pid in pids)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("order", "expected"),
    [("exit", {"exit_code": 7}), ("crash", {"signal": "SIGSEGV"})],
)
def test_a_dead_worker_costs_the_request_it_held_and_is_replaced(
    tmp_path: Path, log: Path, order: str, expected: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log, workers=2) as service:
            slow = asyncio.create_task(ask(service, 0.3))
            await asyncio.sleep(0)  # it is on its way to one worker before the other dies
            assert await refused(service, order) == 502
            assert (await slow)["order"] == 0.3
            await until(lambda: service.ready_workers == 2)
            assert (await ask(service, 1))["order"] == 1
            await until(lambda: service.restarts == 1)
            await death_told(log)

    asyncio.run(scenario())
    death = next(event for event in events(log) if event["event"] == "worker died")
    assert death.items() >= expected.items()
    assert death["peak_mb"] > 5


def test_sys_exit_in_a_script_is_an_error_and_not_the_end(tmp_path: Path, log: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log) as service:
            pid = (await ask(service, 1))["pid"]
            assert await refused(service, "leave") == 500
            assert (await ask(service, 1))["pid"] == pid

    asyncio.run(scenario())


def test_a_worker_that_hangs_is_killed_and_the_service_lives(tmp_path: Path, log: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log, scoring_timeout_ms=200) as service:
            pid = (await answered(service, 1))["pid"]
            started_s = time.monotonic()
            assert await refused(service, "hang") == 504
            assert time.monotonic() - started_s < 30  # it would hang for twice as long
            await until(lambda: not is_alive(pid))
            assert (await answered(service, 1))["pid"] != pid
            await death_told(log)

    asyncio.run(scenario())
    death = next(event for event in events(log) if event["event"] == "worker died")
    assert death["signal"] == "SIGKILL"
    assert death["killed_because"] == "it did not answer in time"


def test_a_slow_script_is_interrupted_and_its_worker_lives(tmp_path: Path, log: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log, scoring_timeout_ms=200) as service:
            # A worker that is paused for long enough is killed like one that hangs: then again.
            for _ in range(10):
                pid = (await answered(service, 1))["pid"]
                assert await refused(service, 30.0) == 504
                if (await answered(service, 1))["pid"] == pid:
                    break
            else:
                pytest.fail("no worker has outlived an interruption")

    asyncio.run(scenario())


def test_a_killed_worker_is_said_to_have_been_killed_by_somebody_else(
    tmp_path: Path, log: Path
) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log) as service:
            pid = (await ask(service, 1))["pid"]
            os.kill(pid, signal.SIGKILL)
            await until(lambda: service.restarts == 1)
            await until(lambda: service.ready_workers == 1)
            assert (await ask(service, 1))["pid"] != pid
            await death_told(log)

    asyncio.run(scenario())
    death = next(event for event in events(log) if event["event"] == "worker died")
    assert "memory" in death["hint"]


def test_the_fork_server_may_die_too(tmp_path: Path, log: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log) as service:
            parent = parent_of((await ask(service, 1))["pid"])
            os.kill(parent, signal.SIGKILL)
            await until(lambda: any(e["event"] == "fork server died" for e in events(log)))
            assert (await ask(service, 1))["order"] == 1
            await until(lambda: service.ready_workers == 1)
            await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
            assert await refused(service, "exit") == 502
            assert (await ask(service, 1))["order"] == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("text", "trace"),
    [
        ("import nothing_of_that_name\n", "nothing_of_that_name"),
        ("def init():\n    raise KeyError('weights')\ndef run(d): pass\n", "KeyError: 'weights'"),
    ],
)
def test_a_script_that_cannot_start_fails_with_its_trace(
    tmp_path: Path, log: Path, text: str, trace: str
) -> None:
    async def scenario() -> None:
        with pytest.raises(ScriptFailed) as caught:
            async with running(tmp_path / "score.py", log, text):
                pass
        assert trace in caught.value.trace

    asyncio.run(scenario())


def test_a_script_that_ends_its_process_in_init_fails(tmp_path: Path, log: Path) -> None:
    text = "import os\ndef init():\n    os._exit(9)\ndef run(d): pass\n"

    async def scenario() -> None:
        with pytest.raises(ScriptFailed):
            async with running(tmp_path / "score.py", log, text):
                pass

    asyncio.run(scenario())


def test_a_script_is_replaced_without_losing_a_request(tmp_path: Path, log: Path) -> None:
    async def scenario() -> None:
        script = tmp_path / "score.py"
        async with running(script, log, workers=2) as service:
            before = (await ask(service, 1))["pid"]
            slow = asyncio.create_task(ask(service, 1.0))
            await asyncio.sleep(0)
            script.write_text(SCRIPT.replace('"version": 1', '"version": 2'), encoding="utf-8")
            await service.reload()
            assert (await ask(service, 1))["version"] == 2
            assert (await slow)["version"] == 1
            await until(lambda: not is_alive(before))

    asyncio.run(scenario())


def test_a_script_that_got_worse_does_not_replace_a_good_one(tmp_path: Path, log: Path) -> None:
    async def scenario() -> None:
        script = tmp_path / "score.py"
        async with running(script, log) as service:
            script.write_text("def run(:\n", encoding="utf-8")
            with pytest.raises(ScriptFailed) as caught:
                await service.reload()
            assert "SyntaxError" in caught.value.trace
            assert (await ask(service, 1))["version"] == 1

    asyncio.run(scenario())


def test_the_line_is_bounded_and_nobody_waits_too_long(tmp_path: Path, log: Path) -> None:
    async def scenario() -> None:
        limits: dict[str, Any] = {"max_queued_requests": 2, "max_request_wait_ms": 100}
        async with running(tmp_path / "score.py", log, **limits) as service:
            go = tmp_path / "go"
            first = asyncio.create_task(ask(service, {"until": str(go)}))
            await asyncio.sleep(0)  # it is on its way to the worker
            outcomes = await asyncio.gather(
                *(ask(service, 1) for _ in range(4)), return_exceptions=True
            )
            go.touch()
            assert (await first)["order"] == {"until": str(go)}
        messages = [str(one) for one in outcomes if isinstance(one, Refusal)]
        assert sum("max_queued_requests" in message for message in messages) == 2
        assert sum("max_request_wait_ms" in message for message in messages) == 2

    asyncio.run(scenario())


def test_who_has_left_is_not_scored(tmp_path: Path, log: Path) -> None:
    class Connection:
        disconnected = False

    async def scenario() -> None:
        async with running(tmp_path / "score.py", log) as service:
            go = tmp_path / "go"
            busy = asyncio.create_task(ask(service, {"until": str(go)}))
            await asyncio.sleep(0)
            gone = Request(body=b'"exit"', connection=(connection := Connection()))
            waiting = asyncio.create_task(service.score(gone))
            await asyncio.sleep(0)
            assert service.queue_depth == 1
            connection.disconnected = True
            await until(lambda: service.queue_depth == 0)
            with pytest.raises(Refusal, match="gone"):
                await waiting
            go.touch()
            await busy
            assert service.restarts == 0

    asyncio.run(scenario())


def test_several_requests_may_lie_at_a_worker(tmp_path: Path, log: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "score.py", log, max_concurrent_requests=4) as service:
            answers = await asyncio.gather(*(ask(service, number) for number in range(20)))
            assert [answer["order"] for answer in answers] == list(range(20))

    asyncio.run(scenario())


def test_what_a_script_prints_carries_the_id_of_its_request(
    tmp_path: Path, log: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "def run(data):\n    print('seen', data)\n    return 1\n"

    async def scenario() -> None:
        async with running(tmp_path / "score.py", log, text) as service:
            await ask(service, "hello", request_id="abc")

    asyncio.run(scenario())
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert {"request_id": "abc", "message": 'seen "hello"'}.items() <= lines[-1].items()


def test_the_time_of_each_stage_comes_back_with_the_answer(tmp_path: Path, log: Path) -> None:
    async def scenario() -> list[dict[str, float]]:
        async with running(tmp_path / "score.py", log) as service:
            requests = [Request(body=b"0.05") for _ in range(4)]
            for request in requests:
                await service.score(request)
            return [request.timings for request in requests]

    timed = asyncio.run(scenario())
    assert all(set(timings) == {"queue", "decode", "infer", "encode"} for timings in timed)
    assert all(timings["infer"] >= 50 for timings in timed)
    # On a busy machine any stage may be paused; not each time.
    assert 0 < min(timings["decode"] for timings in timed) < 50
    assert 0 < min(timings["encode"] for timings in timed) < 50
