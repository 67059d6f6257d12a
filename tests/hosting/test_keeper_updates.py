"""Callers never notice an update: they keep their connections, and no request fails."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
from hosted import ECHO, WAIT_S, Hosted, ask, kill, until

from calotype.hosting import locks
from calotype.hosting.kept_door import EVERYTHING, KeptDoor

CLIENTS = 32
UPDATES = 3


class Callers:
    """Clients that send one request after another over connections that they keep."""

    def __init__(self, hosted: Hosted, name: str) -> None:
        self.answers: Counter[object] = Counter()
        self.failures: list[str] = []
        self._uri = urlsplit(hosted.observe(name).scoring_uri)
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._call) for _ in range(CLIENTS)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        until(lambda: self.answers[1] >= CLIENTS, "callers reach 1")
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        link = http.client.HTTPConnection(self._uri.hostname or "", self._uri.port, timeout=WAIT_S)
        with contextlib.closing(link) as connection:
            while not self._is_over.wait(0.02):
                try:
                    status, answer = ask(connection, 1, path=self._uri.path)
                except (OSError, http.client.HTTPException) as error:
                    self.failures.append(repr(error))
                    connection.close()
                    continue
                with self._lock:
                    self.answers[
                        answer["revision"] if status == 200 else (status, str(answer))
                    ] += 1


def add_busy(hosted: Hosted, target: Any) -> None:
    replicas: dict[str, Any] = {"num_replicas": 2} if target == "cluster" else {}
    hosted.add("busy", target=target, max_request_wait_ms=20_000, **replicas)
    hosted.until_state("busy", "Healthy")
    assert hosted.answers("busy")


@pytest.mark.parametrize("target", ["local", pytest.param("cluster", marks=pytest.mark.slow)])
def test_32_callers_see_no_failure_during_updates(hosted: Hosted, target: str) -> None:
    add_busy(hosted, target)
    with Callers(hosted, "busy") as callers:
        for number in range(2, 2 + UPDATES):
            hosted.update("busy", ECHO.replace("1", str(number)))
            hosted.until(
                "busy",
                lambda seen, number=number: (
                    seen.state == "Healthy" and seen.versions["default"].serving_revision == number
                ),
                f"revision {number} serves",
            )
            until(lambda number=number: callers.answers[number], f"callers reach {number}")
    assert callers.failures == []
    assert set(callers.answers) == set(range(1, 2 + UPDATES))


def test_an_old_replica_takes_leave_of_each_caller_with_an_answer(hosted: Hosted) -> None:
    hosted.add("echo")
    hosted.until_state("echo", "Healthy")
    with contextlib.closing(hosted.connect("echo")) as connection:
        assert ask(connection, 1)[1]["revision"] == 1
        hosted.update("echo", ECHO.replace("1", "2"))
        until(lambda: '"stopping"' in hosted.logs(), "the old replica is told to leave")
        connection.request("POST", "/score", '{"data": 1}', {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.headers["connection"] == "close"
        assert json.loads(answer.read())["revision"] == 1
        assert ask(connection, 1)[1]["revision"] == 2  # over a new connection


@pytest.mark.slow
@pytest.mark.parametrize("target", ["local", "cluster"])
def test_callers_see_no_failure_when_keepers_die_during_updates(
    hosted: Hosted, target: str
) -> None:
    add_busy(hosted, target)
    with Callers(hosted, "busy") as callers:
        for number in range(2, 2 + UPDATES):
            hosted.update("busy", ECHO.replace("1", str(number)))
            for pid in hosted.pids("hosting.keeper"):
                kill(pid)
            until(lambda number=number: callers.answers[number], f"callers reach {number}")
    assert callers.failures == []
    assert set(callers.answers) == set(range(1, 2 + UPDATES))


@pytest.mark.slow
def test_a_keeper_that_dies_when_new_replicas_are_ready_costs_no_request(hosted: Hosted) -> None:
    """The next keeper finds them before it has looked at the front door."""
    add_busy(hosted, "cluster")
    with Callers(hosted, "busy") as callers:
        for number in range(2, 3 + UPDATES):
            hosted.update("busy", ECHO.replace("1", str(number)))
            until(lambda number=number: _is_ready(hosted, number), "a replica is ready")
            kill(hosted.until_kept())
            until(lambda number=number: callers.answers[number], f"callers reach {number}")
            hosted.until(
                "busy",
                lambda seen, number=number: {one.revision for one in seen.replicas} == {number},
                "the old ones have left",
            )
    assert callers.failures == []
    assert set(callers.answers) == set(range(1, 3 + UPDATES))


@pytest.mark.slow
def test_old_replicas_stay_while_the_front_door_does_not_reach_the_new_ones(
    hosted: Hosted,
) -> None:
    add_busy(hosted, "cluster")
    door = locks.facts(hosted.layout.front_door_lock)["pid"]
    with Callers(hosted, "busy") as callers:
        os.kill(door, signal.SIGSTOP)
        hosted.update("busy", ECHO.replace("1", "2"))
        until(lambda: _is_ready(hosted, 2), "a replica is ready")
        hosted.until(
            "busy",
            lambda seen: seen.versions["default"].serving_revision == 2,
            "the new revision is to serve",
        )
        time.sleep(11)  # the keeper has asked the door and had no answer
        assert '"stopping"' not in hosted.logs()  # nobody takes leave yet
        os.kill(door, signal.SIGCONT)
        until(lambda: callers.answers[2], "callers reach 2")
        hosted.until("busy", lambda seen: {one.revision for one in seen.replicas} == {2}, "1 left")
    assert callers.failures == []
    assert set(callers.answers) == {1, 2}


def test_a_front_door_that_is_not_adopted_yet_reaches_nothing(hosted: Hosted) -> None:
    """Else the old replicas would leave before it knows the new ones."""
    workspace, layout = hosted.workspace, hosted.layout
    may_go_on = threading.Event()
    slow = mock.Mock(wraps=workspace)

    def fact(name: str) -> object:
        assert may_go_on.wait(WAIT_S)
        return workspace.fact(name)

    slow.fact.side_effect = fact

    async def keep() -> None:
        door = KeptDoor(slow, layout, {}, lambda: None)
        keeping = asyncio.create_task(door.keep(is_up=True))
        assert await door.publish() == EVERYTHING
        assert not door.is_known  # so that services are told as they were before
        may_go_on.set()
        await keeping

    held = locks.Held.take(layout.front_door_lock)
    assert held is not None
    with held:
        held.say({})
        asyncio.run(keep())


def _is_ready(hosted: Hosted, revision: int) -> bool:
    found = hosted.layout.replica_lock("busy", "x").parent.glob("*.lock")
    return any(
        said.get("revision") == revision and said.get("state") == "ready"
        for said in map(locks.facts, found)
    )


@pytest.mark.slow
def test_what_a_failed_update_left_running_does_not_answer_in_turn(hosted: Hosted) -> None:
    """The record lost that revision 2 serves, and revision 3 cannot be started."""
    hosted.add("busy")
    hosted.until_state("busy", "Healthy")
    hosted.update("busy", ECHO.replace("1", "2"))
    hosted.until("busy", lambda seen: {one.revision for one in seen.replicas} == {2}, "2 serves")
    hosted.update("busy", "def init():\n    raise ValueError\n")
    hosted.until("busy", lambda seen: seen.versions["default"].error, "3 has failed")
    keeper = hosted.freeze_keeper()
    hosted.workspace.services.change_version("busy", "default", serving_revision=1)
    kill(keeper)
    hosted.until("busy", lambda seen: {one.revision for one in seen.replicas} == {1}, "1 serves")
    assert {hosted.score("busy")[1]["revision"] for _ in range(8)} == {1}
