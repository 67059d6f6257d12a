"""Callers never notice an update: they keep their connections, and no request fails."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
from collections import Counter

import pytest
from hosted import ECHO, Hosted, ask, until

CLIENTS = 32
UPDATES = 3


class Callers:
    """Clients that send one request after another over connections that they keep."""

    def __init__(self, hosted: Hosted, name: str) -> None:
        self.answers: Counter[object] = Counter()
        self.failures: list[str] = []
        self._hosted, self._name = hosted, name
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._call) for _ in range(CLIENTS)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        with contextlib.closing(self._hosted.connect(self._name)) as connection:
            while not self._is_over.wait(0.02):
                try:
                    status, answer = ask(connection, 1)
                except (OSError, http.client.HTTPException) as error:
                    self.failures.append(repr(error))
                    connection.close()
                    continue
                with self._lock:
                    self.answers[
                        answer["revision"] if status == 200 else (status, str(answer))
                    ] += 1


def test_32_callers_see_no_failure_during_updates(hosted: Hosted) -> None:
    hosted.add("busy", max_request_wait_ms=20_000)
    hosted.until_state("busy", "Healthy")
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
def test_callers_see_no_failure_when_keepers_die_during_updates(hosted: Hosted) -> None:
    hosted.add("busy", max_request_wait_ms=20_000)
    hosted.until_state("busy", "Healthy")
    with Callers(hosted, "busy") as callers:
        for number in range(2, 2 + UPDATES):
            hosted.update("busy", ECHO.replace("1", str(number)))
            for pid in hosted.pids("hosting.keeper"):
                os.kill(pid, signal.SIGKILL)
            until(lambda number=number: callers.answers[number], f"callers reach {number}")
    assert callers.failures == []
    assert set(callers.answers) == set(range(1, 2 + UPDATES))
