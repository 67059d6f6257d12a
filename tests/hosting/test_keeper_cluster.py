"""Services on the front door: several replicas that come and go with the load."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
from urllib.parse import urlsplit

import psutil
import pytest
from hosted import ECHO, WAIT_S, Hosted, ask, until

from calotype.hosting import keeping

BUSY = """
import time


def init():
    pass


def run(data):
    time.sleep(0.1)
    return 1
"""


def score_at_door(hosted: Hosted, name: str) -> int:
    uri = urlsplit(hosted.observe(name).scoring_uri)
    assert uri.hostname
    with contextlib.closing(
        http.client.HTTPConnection(uri.hostname, uri.port, timeout=WAIT_S)
    ) as connection:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", uri.path, json.dumps({"data": 1}), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def test_a_cluster_service_answers_at_the_front_door(hosted: Hosted) -> None:
    hosted.add("many", target="cluster", num_replicas=2)
    seen = hosted.until_state("many", "Healthy")
    assert seen.scoring_uri.endswith("/api/v1/service/many/score")
    assert len(seen.replicas) == 2
    assert score_at_door(hosted, "many") == 200
    hosted.update("many", ECHO, num_replicas=1)
    hosted.until("many", lambda seen: len(seen.replicas) == 1, "fewer replicas")
    assert score_at_door(hosted, "many") == 200
    hosted.delete("many")
    hosted.until_gone()


@pytest.mark.slow
def test_nobody_is_refused_between_two_front_doors(hosted: Hosted) -> None:
    hosted.add("many", target="cluster", num_replicas=1)
    hosted.until_state("many", "Healthy")
    assert score_at_door(hosted, "many") == 200
    for _ in range(2):
        door = hosted.pids("hosting.front_door")
        os.kill(door[0], signal.SIGKILL)
        until(lambda door=door: door[0] not in hosted.pids("hosting.front_door"), "it is gone")
        assert score_at_door(hosted, "many") == 200  # after waiting in the socket's own queue
        until(lambda: len(hosted.pids("hosting.front_door")) == 1, "another front door")
        keeper = hosted.until_kept()
        os.kill(keeper, signal.SIGKILL)  # the next one gets the socket from the door
        hosted.until_kept(but_by=keeper)
        until(lambda: _listens(hosted.keeper()), "it has got the socket")


def _listens(pid: int | None) -> bool:
    if pid is None:
        return False
    return any(link.status == "LISTEN" for link in psutil.Process(pid).net_connections("tcp"))


def test_replicas_follow_the_load(hosted: Hosted) -> None:
    hosted.add("busy", BUSY, target="cluster", autoscale_max_replicas=2, max_request_wait_ms=20_000)
    hosted.until_state("busy", "Healthy")
    assert len(hosted.observe("busy").replicas) == 1
    uri = urlsplit(hosted.observe("busy").scoring_uri)
    is_over = threading.Event()

    def call() -> None:  # all the time: who asks where to call in between is no load
        link = http.client.HTTPConnection(uri.hostname or "", uri.port, timeout=WAIT_S)
        with contextlib.closing(link):
            while not is_over.is_set():
                assert ask(link, path=uri.path)[0] == 200

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        hosted.until("busy", lambda seen: seen.versions["default"].replicas == 2, "a second one")
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_up_serves_local_services_at_the_front_door_too(hosted: Hosted) -> None:
    hosted.add("mine")
    hosted.until_state("mine", "Healthy")
    assert hosted.pids("hosting.front_door") == []
    found = keeping.up(hosted.workspace)
    door = urlsplit(found["front_door"]["uri"])
    assert door.hostname

    def answers() -> bool:
        with contextlib.closing(
            http.client.HTTPConnection(door.hostname or "", door.port, timeout=WAIT_S)
        ) as connection:
            connection.request("GET", "/api/v1/service/mine/")
            return connection.getresponse().status == 200

    until(answers, "it passes on")
    keeping.down(hosted.workspace)
    hosted.until_gone()
