"""Roll-outs of a real version beside another one, decided by the keeper."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from hosted import Hosted, ask, hosting, until

from calotype import errors
from calotype.cli.service_show import document_of
from calotype.hosting.management import Management
from calotype.workspace.services import Version

# Answers as it is asked to; starts only while a file is there.
SCRIPT = """
import json, time

def init():
    open({gate!r})

def run(data):
    asked = json.loads(data)["data"]
    if asked == "fail":
        raise RuntimeError("a new fault")
    if asked == "be slow":
        time.sleep(0.7)
    return asked
"""
RULES: dict[str, Any] = {"min_requests": 20, "step_percent": 50, "step_s": 0.1}


class Canary:
    """A service on the front door with a version `new` beside the default one."""

    def __init__(self, hosted: Hosted) -> None:
        self.hosted = hosted
        self.management = Management(hosted.workspace)
        self.gate = hosted.folder / "gate"
        self.gate.touch()
        hosted.add(
            "rolled", SCRIPT.format(gate=str(self.gate)), target="cluster", num_replicas=1,
            access={"auth": "none"},
        )  # fmt: skip
        self.management.create_version("rolled", "new")
        self.management.wait("rolled", timeout_s=60, version="new")
        hosted.until_state("rolled", "Healthy")

    @property
    def new(self) -> Version:
        """The new version's record."""
        return self.hosted.workspace.services.get("rolled").version("new")

    def start(self, **rules: Any) -> None:
        """Begin a roll-out."""
        self.management.start_canary("rolled", "new", **{**RULES, **rules})

    def send(self, asked: str, version: str = "") -> None:
        """Send twenty requests, or a few slow ones."""
        headers = {"x-calotype-version": version} if version else {}
        uri = urlsplit(self.hosted.observe("rolled").scoring_uri)
        link = http.client.HTTPConnection(uri.hostname or "", uri.port, timeout=30)
        with contextlib.closing(link):
            for _ in range(3 if asked == "be slow" else 20):
                ask(link, asked, path=uri.path, **headers)

    def is_over(self) -> bool:
        """Whether it has been decided."""
        return self.new.rollout["state"] != "in progress"

    def until_over(self, asked: str, version: str = "") -> Version:
        """Send requests until it has been decided; return the version as it is then."""

        def decided() -> bool:
            self.send(asked, version)
            return self.is_over()

        until(decided, "the roll-out is decided")
        return self.new


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    with hosting() as hosted:
        yield Canary(hosted)


def test_a_version_that_fails_is_rolled_back(canary: Canary) -> None:
    canary.start()
    new = canary.until_over("fail", "new")
    assert (new.rollout["state"], new.traffic_percent) == ("rolled back", 0)
    assert "The new version failed" in new.rollout["reason"]
    noted = canary.hosted.workspace.audit.list("rolled")
    assert "service.roll_back" in [entry.action for entry in noted]


def test_a_version_that_is_slow_is_rolled_back_though_the_old_one_gets_nothing_more(
    canary: Canary,
) -> None:
    for _ in range(10):  # of which a few may take long on a busy machine
        canary.send("hello", "default")
    canary.start(step_percent=100, min_requests=3)
    new = canary.until_over("be slow")
    assert (new.rollout["state"], new.traffic_percent) == ("rolled back", 0)
    assert "times the p95 of the old one" in new.rollout["reason"]


def test_a_version_that_is_as_good_gets_all(canary: Canary) -> None:
    canary.start(max_latency_ratio=1e6)  # nothing but failures could end it
    new = canary.until_over("hello")
    assert (new.rollout["state"], new.traffic_percent) == ("done", 100)
    assert canary.hosted.workspace.services.get("rolled").version("default").traffic_percent == 0
    assert canary.management.roll_back("rolled").version("new").traffic_percent == 0


def test_a_version_without_replicas_is_rolled_back(canary: Canary) -> None:
    canary.start()
    canary.gate.unlink()  # no other replica can be started
    seen = canary.hosted.observe("rolled")
    os.kill(next(one.pid for one in seen.replicas if one.version == "new"), signal.SIGKILL)
    until(canary.is_over, "the roll-out is decided")
    assert (canary.new.rollout["state"], canary.new.traffic_percent) == ("rolled back", 0)
    assert "no replica" in canary.new.rollout["reason"]
    canary.hosted.workspace.services.change_version("rolled", "new", state="Healthy")
    with pytest.raises(errors.NotSupported, match="expected a version that is Healthy"):
        canary.start()  # what is written down is not believed
    record = canary.management.set_traffic("rolled", {"new": 30})
    document = document_of(record, canary.hosted.observe("rolled"))
    shares = {
        one["name"]: (one["traffic_percent"], one["effective_percent"])
        for one in document["versions"]
    }
    assert shares == {"default": (70, 100), "new": (30, 0)}
