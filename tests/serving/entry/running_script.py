"""A script that runs as a service, with its workers, in a test's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from calotype.serving.entry.fork_client import ForkConfiguration
from calotype.serving.entry.script_service import ScriptService
from calotype.serving.exchange import Answer, Request
from calotype.serving.journal import Journal
from calotype.serving.refusals import Refusal
from calotype.serving.settings import ServiceSettings

SCRIPT = """
import ctypes, json, os, signal, sys, time

def init():
    pass

def run(raw_data):
    order = json.loads(raw_data)
    if order == "exit":
        os._exit(7)
    if order == "crash":
        ctypes.string_at(0)
    if order == "leave":
        sys.exit(0)
    if isinstance(order, float):
        time.sleep(order)
    if isinstance(order, dict):
        while not os.path.exists(order["until"]):
            time.sleep(0.005)
    if order == "hang":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # as native code is: deaf
        time.sleep(60)
    return {"pid": os.getpid(), "order": order, "version": 1}
"""


@asynccontextmanager
async def running(
    script: Path, log: Path, text: str = SCRIPT, **limits: Any
) -> AsyncGenerator[ScriptService]:
    """Run a script as a service, with its log in a file."""
    script.write_text(text, encoding="utf-8")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    settings = ServiceSettings.of({"max_request_wait_ms": 60_000, **limits})
    journal = Journal("json", file_descriptor=descriptor)
    configuration = ForkConfiguration(script, timeout_ms=settings.scoring_timeout_ms)
    service = ScriptService(configuration, settings, journal)
    try:
        await service.start()
        yield service
    finally:
        await service.stop()
        journal.close()
        os.close(descriptor)


async def ask(service: ScriptService, order: object, request_id: str = "r") -> Any:
    """Let a service score one value."""
    answer = await service.score(Request(body=json.dumps(order).encode(), request_id=request_id))
    assert isinstance(answer, Answer)
    return json.loads(answer.body)


async def until(condition: Callable[[], bool], *, limit_s: float = 60.0) -> None:
    """Wait for something that happens in another process."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "it never became true"
        await asyncio.sleep(0.01)


async def refused(service: ScriptService, order: object) -> int:
    """Return the status of a request that must fail."""
    with pytest.raises(Refusal) as caught:
        await ask(service, order)
    return caught.value.status


def events(log: Path) -> list[dict[str, Any]]:
    """Return the lines of the log that are whole: a write may be seen half-way."""
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


async def death_told(log: Path) -> None:
    """Wait until the log tells that a worker died: its successor may be there before."""
    await until(lambda: any(event["event"] == "worker died" for event in events(log)))


async def answered(service: ScriptService, order: object) -> Any:
    """Let a service score one value whose limit of time is so short that any pause exceeds it."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(Refusal):
                return await ask(service, order)


def is_alive(pid: int) -> bool:
    """Tell whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def parent_of(pid: int) -> int:
    """Return the process that started a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
