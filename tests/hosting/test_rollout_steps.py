"""What is compared with what while a version is rolled out. No processes, and no clock."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from doors import record

from calotype.hosting.canary import Verdict
from calotype.hosting.counts import Snapshot, VersionCounts
from calotype.hosting.rollout_steps import RolloutSteps
from calotype.workspace.service_settings import AccessSettings

RULES = {"min_requests": 10, "step_s": 60.0, "step_percent": 50}


class RollOut:
    """A service whose version `new` is rolled out, and the counts of a front door."""

    def __init__(self) -> None:
        old = record("garden", AccessSettings(), b"").version()
        old = dataclasses.replace(old, name="old")
        new = dataclasses.replace(old, name="new", is_default=False)
        self.service = dataclasses.replace(
            record("garden", AccessSettings(), b""), versions=(old, new)
        )
        self.counts = {"old": VersionCounts(), "new": VersionCounts()}
        self.steps = RolloutSteps()
        self.now_s = 0.0
        self.start("today", 50)

    def change(self, name: str, **values: Any) -> None:
        """Change a version."""
        versions = [
            dataclasses.replace(one, **values) if one.name == name else one
            for one in self.service.versions
        ]
        self.service = dataclasses.replace(self.service, versions=tuple(versions))

    def start(self, started_at: str, percent: int) -> None:
        """Write a roll-out down."""
        rollout = {"rules": RULES, "control": "old", "started_at": started_at}
        self.change("old", traffic_percent=100 - percent)
        self.change("new", traffic_percent=percent, rollout=rollout)

    def answer(self, name: str, count: int, *, status: int = 200, took_s: float = 0.01) -> None:
        """Count answers."""
        counts = self.counts[name]
        for _ in range(count):
            counts.end(status, counts.begin() - took_s)

    def look(self, after_s: float = 1.0, *, is_ready: bool = True) -> Verdict | None:
        """Look once more."""
        self.now_s += after_s
        seen = {name: Snapshot.of_document(one.to_document()) for name, one in self.counts.items()}
        return self.steps.judge(
            self.service,
            self.service.version("new"),
            seen,
            is_ready=is_ready,
            now_s=self.now_s,
        )


@pytest.fixture
def rolled() -> RollOut:
    """A roll-out whose step has begun, with 20 answers of the old version before it."""
    made = RollOut()
    made.answer("old", 20)
    assert made.look() is None
    return made


def action(verdict: Verdict | None) -> str:
    return verdict.action if verdict is not None else ""


def test_a_second_roll_out_is_not_judged_by_the_first(rolled: RollOut) -> None:
    rolled.answer("new", 9, status=500)
    assert action(rolled.look()) == "hold"
    rolled.start("tomorrow", 50)
    assert rolled.look() is None
    rolled.answer("old", 10)
    rolled.answer("new", 10)
    assert action(rolled.look(61.0)) == "advance"


def test_another_revision_is_not_judged_by_the_one_before(rolled: RollOut) -> None:
    rolled.answer("new", 9, status=500)
    rolled.change("new", serving_revision=2)
    assert rolled.look() is None
    rolled.answer("new", 10)
    assert action(rolled.look(61.0)) == "advance"


def test_without_requests_the_old_version_counts_as_it_was_before(rolled: RollOut) -> None:
    rolled.answer("new", 10, took_s=0.011)
    assert action(rolled.look(61.0)) == "advance"
    rolled.start("today", 100)
    assert rolled.look() is None
    rolled.answer("new", 20, took_s=0.1)
    verdict = rolled.look()
    assert verdict is not None
    assert verdict.action == "roll back"
    assert "times the p95 of the old one" in verdict.reason


def test_the_last_step_ends_a_roll_out_only_after_it_was_judged(rolled: RollOut) -> None:
    rolled.start("today", 100)
    assert rolled.look() is None
    assert action(rolled.look(61.0)) == "hold"
    rolled.answer("new", 10)
    assert action(rolled.look()) == "finish"


def test_what_the_old_version_was_before_its_update_is_no_measure(rolled: RollOut) -> None:
    rolled.change("old", serving_revision=2)
    assert rolled.look() is None
    rolled.answer("new", 20, took_s=0.1)
    assert action(rolled.look()) == "hold"  # it has failed in nothing


@pytest.mark.parametrize(
    ("state", "after"), [("Unhealthy", "roll back"), ("Transitioning", "hold")]
)
def test_a_version_that_stays_away_is_rolled_back(rolled: RollOut, state: Any, after: str) -> None:
    rolled.change("new", state=state)
    assert action(rolled.look(is_ready=False)) == "hold"
    assert action(rolled.look(9.0, is_ready=False)) == "hold"
    assert action(rolled.look(is_ready=True)) == "hold"  # a crash, and it came back
    assert action(rolled.look(is_ready=False)) == "hold"
    verdict = rolled.look(10.0, is_ready=False)
    assert verdict is not None
    assert verdict.action == after
    assert ("no replica that takes requests for 10 s" in verdict.reason) == (after == "roll back")


def test_nothing_is_known_of_a_version_that_the_door_does_not_know(rolled: RollOut) -> None:
    del rolled.counts["old"]
    assert rolled.look() is None


def test_steps_of_roll_outs_that_are_over_are_forgotten(rolled: RollOut) -> None:
    rolled.answer("new", 10, status=500)
    rolled.steps.keep_only([])
    assert rolled.look() is None
    assert action(rolled.look()) == "hold"
