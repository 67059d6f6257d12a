"""What is decided by what the front door counts: traffic, replicas, roll-outs. No processes."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import pytest

from calotype.hosting.autoscale import Autoscaler, AutoscaleRules
from calotype.hosting.canary import RolloutRules, judge
from calotype.hosting.counts import BOUNDS_MS, Snapshot, VersionCounts, Window
from calotype.hosting.routes import VersionRoute
from calotype.hosting.traffic import Traffic, effective_percents


def route(percent: int = 100, **values: Any) -> VersionRoute:
    return VersionRoute({}, percent, **{"is_default": False, **values})


def shares(**routes: VersionRoute) -> dict[str, float]:
    """Return what each version gets of 10,000 requests spread evenly over all chances."""
    points = itertools.cycle((index + 0.5) / 10_000 for index in range(10_000))
    traffic = Traffic(routes, chance=lambda: next(points))
    counted = Counter(traffic.choose() for _ in range(10_000))
    return {name: count / 100 for name, count in counted.items()}


def test_default_takes_the_remainder() -> None:
    got = shares(old=route(0, is_default=True), new=route(10), newer=route(15))
    assert got == {"old": 75.0, "new": 10.0, "newer": 15.0}


def test_only_version_takes_all() -> None:
    assert shares(only=route(0, is_default=True)) == {"only": 100.0}
    assert shares(only=route(30)) == {"only": 100.0}


def test_default_gets_nothing_when_others_have_all() -> None:
    assert shares(old=route(50, is_default=True), new=route(100)) == {"new": 100.0}
    got = shares(old=route(0, is_default=True), new=route(100), newer=route(100))
    assert got == {"new": 50.0, "newer": 50.0}


def test_copies_go_to_mirrors_but_never_to_who_answers() -> None:
    chance = random.Random(1).random
    routes = {
        "old": route(100, is_default=True),
        "shadow": route(0, mirror_percent=30),
    }
    traffic = Traffic(routes, chance=chance)
    copied = sum(len(traffic.copies("old")) for _ in range(2000))
    assert 520 < copied < 680
    assert not any(traffic.copies("shadow") for _ in range(50))
    assert not Traffic({"old": route()}).copies("old")


def test_what_has_no_replica_leaves_its_share() -> None:
    routes = {"old": route(0, is_default=True), "new": route(30), "newer": route(20)}
    assert effective_percents(routes, ["old", "new", "newer"]) == {
        "old": 50.0, "new": 30.0, "newer": 20.0,
    }  # fmt: skip
    assert effective_percents(routes, ["old", "newer"]) == {"old": 80.0, "new": 0, "newer": 20.0}
    assert effective_percents(routes, ["new"]) == {"old": 0, "new": 100.0, "newer": 0}
    assert effective_percents(routes, []) == {"old": 0, "new": 0, "newer": 0}


def test_counts_tell_the_mean_load_between_two_answers() -> None:
    counts = VersionCounts()
    first = Snapshot.of_document(counts.to_document())
    begun = [counts.begin(), counts.begin()]
    assert counts.in_flight == 2
    for at in begun:
        counts.end(200, at)
    counts.refuse(503)
    window = Snapshot.of_document(counts.to_document()).since(first)
    assert (window.requests, window.failures) == (3, 1)
    assert sum(window.latencies) == 2
    assert 0 < window.busy_s <= 2 * window.length_s
    assert 0 < window.load <= 2


def test_window_of_a_new_door_begins_at_nought() -> None:
    old, new = VersionCounts(), VersionCounts()
    for counts, number in ((old, 5), (new, 2)):
        for _ in range(number):
            counts.end(200, counts.begin())
    before = Snapshot.of_document(old.to_document())
    assert Snapshot.of_document(new.to_document()).since(before).requests == 2
    assert Snapshot.of_document(old.to_document()).since(before).requests == 0


def test_forgotten_request_is_no_answer() -> None:
    counts = VersionCounts()
    counts.begin()
    counts.forget()
    assert (counts.in_flight, sum(counts.statuses.values())) == (0, 0)


def window(statuses: dict[int, int], latency_ms: float = 10.0, slow: int = 0) -> Window:
    """Return a window whose answers all took `latency_ms`, but for `slow` that took 100 times."""
    latencies = [0] * (len(BOUNDS_MS) + 1)
    total = sum(statuses.values())
    latencies[BOUNDS_MS.index(latency_ms)] = total - slow
    latencies[BOUNDS_MS.index(latency_ms * 100)] += slow
    return Window(60.0, 1.0, statuses, tuple(latencies))


def test_latency_at_a_share() -> None:
    found = window({200: 100}, 10.0, slow=6)
    assert found.latency_ms(0.5) == 10.0
    assert found.latency_ms(0.95) == 1000.0
    assert found.slower_than(10.0) == 6
    assert window({}).latency_ms(0.95) == 0.0


# Replicas


def decide(scaler: Autoscaler, now_s: float, load: float, present: int, ready: int = -1) -> int:
    return scaler.decide(
        now_s, load, present=present, ready=present if ready < 0 else ready
    ).replicas


@pytest.mark.parametrize(
    ("load", "present", "wanted"),
    [(0.0, 1, 1), (0.69, 1, 1), (0.7, 1, 1), (0.71, 1, 2), (2.1, 3, 3), (2.2, 3, 4), (50, 6, 10)],
)
def test_more_replicas_at_once_above_the_target(load: float, present: int, wanted: int) -> None:
    assert decide(Autoscaler(AutoscaleRules()), 0.0, load, present) == wanted


def test_growth_at_most_doubles_what_is_ready() -> None:
    scaler = Autoscaler(AutoscaleRules())
    assert decide(scaler, 0.0, 50.0, 1) == 2
    assert decide(scaler, 1.0, 50.0, 2, ready=1) == 2  # the second one is starting
    assert decide(scaler, 2.0, 50.0, 2) == 4
    assert decide(scaler, 2.5, 50.0, 4) == 4  # asked for again too early
    assert decide(scaler, 3.1, 50.0, 4) == 8
    assert decide(scaler, 4.2, 50.0, 8) == 10


def test_fewer_replicas_only_after_a_quiet_minute() -> None:
    scaler = Autoscaler(AutoscaleRules())
    assert decide(scaler, 0.0, 2.5, 4) == 4
    for second in range(1, 60):
        assert decide(scaler, second, 0.1, 4) == 4
    scale = scaler.decide(61.0, 0.1, present=4, ready=4)
    assert scale.replicas == 1
    assert scale.reason == "no more than 1 were needed within the last minute"


def test_peak_within_the_minute_keeps_replicas() -> None:
    scaler = Autoscaler(AutoscaleRules())
    for second in range(60):
        decide(scaler, second, 2.5 if second == 40 else 0.1, 4)
    assert decide(scaler, 60.0, 0.1, 4) == 4
    for second in range(61, 120):
        assert decide(scaler, second, 0.1, 4) == 4
    assert decide(scaler, 120.0, 0.1, 4) == 1


def test_limits_and_concurrency() -> None:
    rules = AutoscaleRules(min_replicas=2, max_replicas=3, concurrent_requests=10)
    scaler = Autoscaler(rules)
    assert decide(scaler, 0.0, 0.0, 1) == 2
    assert decide(scaler, 1.0, 14.0, 2) == 2
    assert decide(scaler, 2.0, 14.1, 2) == 3
    assert decide(scaler, 3.0, 900.0, 3) == 3
    assert decide(scaler, 4.0, 0.0, 5) == 3


def test_reason_names_the_utilisation() -> None:
    scale = Autoscaler(AutoscaleRules()).decide(0.0, 1.9, present=2, ready=2)
    assert scale.reason == "2 are busy to 95 %, more than 70 %"


# Roll-outs

RULES = RolloutRules(
    min_requests=50, max_error_rate_increase=0.01, max_latency_ratio=1.5, step_percent=20, step_s=60
)
GOOD = window({200: 1000})


def verdict(candidate: Window, control: Window = GOOD, age_s: float = 61.0) -> tuple[str, int, str]:
    found = judge(RULES, percent=20, step_age_s=age_s, control=control, candidate=candidate)
    return found.action, found.percent, found.reason


def test_good_version_advances_when_the_step_is_over() -> None:
    assert verdict(window({200: 200}))[:2] == ("advance", 40)
    action, percent, reason = verdict(window({200: 200}), age_s=20.0)
    assert (action, percent) == ("hold", 20)
    assert reason == "The new version is as good; 40 s are left."


def test_few_answers_decide_nothing() -> None:
    action, _, reason = verdict(window({500: 49}))
    assert action == "hold"
    assert reason == "The new version has answered 49 of 50 requests."


@pytest.mark.parametrize(
    ("percent", "most", "action", "after"),
    [
        (90, 100, "advance", 100),
        (100, 100, "finish", 100),
        (50, 60, "advance", 60),  # a third version has the rest
        (60, 60, "finish", 60),
    ],
)
def test_last_step_is_all_and_is_judged_too(
    percent: int, most: int, action: str, after: int
) -> None:
    def step(candidate: Window) -> tuple[str, int]:
        found = judge(
            RULES,
            percent=percent,
            step_age_s=61,
            control=GOOD,
            candidate=candidate,
            most_percent=most,
        )
        return found.action, found.percent

    assert step(window({200: 100})) == (action, after)
    assert step(window({500: 100})) == ("roll back", 0)


def test_failures_roll_back_at_once() -> None:
    action, percent, reason = verdict(window({200: 45, 500: 15}), age_s=2.0)
    assert (action, percent) == ("roll back", 0)
    assert reason == (
        "The new version failed 15 of 60 requests (25.0%), the old one 0 of 1000 (0.0%); "
        "1.0% more are allowed."
    )


@pytest.mark.parametrize(
    ("candidate", "control"),
    [
        (window({200: 59, 500: 1}), GOOD),  # chance
        (window({200: 50, 404: 30}), GOOD),  # the callers' faults
        (window({200: 45, 500: 15}), window({200: 750, 500: 250})),  # as bad as the old one
        (window({200: 200}), window({})),  # nothing to compare with
    ],
)
def test_no_difference_no_roll_back(candidate: Window, control: Window) -> None:
    assert verdict(candidate, control)[0] == "advance"


def test_failures_count_without_an_old_version_too() -> None:
    assert verdict(window({500: 60}), window({}))[0] == "roll back"


def test_slower_version_rolls_back() -> None:
    action, _, reason = verdict(window({200: 100}, 20.0))
    assert action == "roll back"
    assert reason == (
        "100 of 100 requests (100%) took the new version more than 15 ms, 1.5 times the p95 of "
        "the old one; 5% may."
    )
    assert verdict(window({200: 200}, 12.5))[0] == "advance"


def test_single_slow_answers_are_chance() -> None:
    assert verdict(window({200: 200}, 10.0, slow=9))[0] == "advance"
    assert verdict(window({200: 200}, 10.0, slow=40))[0] == "roll back"


def test_equal_versions_are_hardly_ever_rolled_back() -> None:
    """Both fail in 2 % and are as fast as each other; 500 roll-outs of 300 requests."""
    chance = random.Random(7)

    def sample(count: int) -> Window:
        failed = sum(chance.random() < 0.02 for _ in range(count))
        slow = sum(chance.random() < 0.04 for _ in range(count))
        return window({200: count - failed, 500: failed}, 10.0, slow)

    wrong = sum(verdict(sample(300), sample(900))[0] == "roll back" for _ in range(500))
    assert wrong <= 5
