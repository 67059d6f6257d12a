"""Who has room on a machine, by the records of what its services ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from calotype.hosting.capacity import Place, places
from calotype.workspace.service_settings import (
    AccessSettings,
    Inference,
    RuntimeSettings,
    Target,
)
from calotype.workspace.services import Revision, Service, Version

SMALL = {"memory_gb": 8.0, "cpu_cores": 2.0, "gpu_cores": 1.0}
START = datetime(2026, 1, 1, tzinfo=UTC)


def service(
    name: str,
    *asked: dict[str, Any],
    at: int = 0,
    serving: int | None = None,
    failed: int = 0,
    target: Target = "cluster",
    desired: Any = "running",
) -> Service:
    """Return a service whose revisions ask for this, one minute after the other."""
    revisions = tuple(
        Revision(number, (), Inference(), settings(one), START + timedelta(minutes=at + number))
        for number, one in enumerate(asked, 1)
    )
    error = {"message": "no such file", "revision": str(failed)} if failed else None
    version = Version(
        "default", 100, True, True, len(asked), serving, "Transitioning", error, revisions
    )
    return Service(
        name, target, False, AccessSettings(), b"", desired, "Transitioning", None, "here", "", {},
        {}, "tests", START, START, (version,),
    )  # fmt: skip


def settings(asked: dict[str, Any]) -> RuntimeSettings:
    return RuntimeSettings.of({"cpu_cores": 0.1, "memory_gb": 0.1, "num_replicas": 1, **asked})


def refused(*services: Service) -> list[str]:
    return sorted(name for name, place in found(*services).items() if place.shortage)


def found(*services: Service) -> dict[str, Place]:
    return {name: one["default"] for name, one in places(services, SMALL).items()}


FIVE, THREE, ONE = {"memory_gb": 5}, {"memory_gb": 3}, {"memory_gb": 1}


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        # Nothing is left over, and that is enough.
        ([service("one", FIVE), service("two", THREE)], []),
        ([service("one", FIVE), service("two", THREE), service("more", ONE)], ["two"]),
        # First come, first served; who fits does not wait for who does not.
        ([service("late", FIVE, at=9), service("early", FIVE)], ["late"]),
        ([service("one", FIVE), service("two", FIVE, at=2), service("three", ONE, at=4)], ["two"]),
        # Who serves keeps its place, whoever asked before.
        ([service("waits", FIVE), service("serves", FIVE, at=9, serving=1)], ["waits"]),
        ([service("one", FIVE, serving=1), service("two", FIVE, serving=1)], []),
        # Old and new side by side need not fit, but the new beside the others must.
        ([service("one", FIVE, FIVE, serving=1)], []),
        ([service("one", ONE, FIVE, serving=1), service("two", FIVE, serving=1)], ["one"]),
        # Until it serves, a smaller revision frees nothing, and a larger one has its place.
        ([service("one", FIVE, ONE, serving=1), service("two", FIVE, at=9)], ["two"]),
        ([service("one", ONE, FIVE, serving=1), service("two", FIVE, at=9)], ["two"]),
        # Nobody reserves what will not run.
        ([service("one", FIVE, failed=1), service("two", FIVE, at=9)], []),
        ([service("one", ONE, FIVE, serving=1, failed=2), service("two", FIVE, at=9)], []),
        ([service("one", FIVE, desired="stopped"), service("two", FIVE, at=9)], []),
        # Replicas count, as many as there must be.
        ([service("one", {**ONE, "num_replicas": 6}), service("two", THREE, at=9)], ["two"]),
        (
            [
                service("one", {**ONE, "num_replicas": None, "autoscale_max_replicas": 8}),
                service("two", FIVE, at=9),
            ],
            [],
        ),
        ([service("one", {**FIVE, "num_replicas": 2}, target="local")], []),
        # Cores and GPUs as well, and what does not fit even alone.
        ([service("one", {"cpu_cores": 1.5}), service("two", {"cpu_cores": 0.6}, at=9)], ["two"]),
        ([service("one", {"gpu_cores": 1}), service("two", {"gpu_cores": 1}, at=9)], ["two"]),
        ([service("one", {"gpu_cores": 2}, serving=1)], ["one"]),
        ([service(f"s{n}", {"cpu_cores": 0.2}) for n in range(10)], []),
    ],
)
def test_who_has_no_room(services: list[Service], expected: list[str]) -> None:
    assert refused(*services) == expected


def test_what_asks_for_no_more_than_the_default_is_let_in_and_counts() -> None:
    default = {"memory_gb": 0.5, "cpu_cores": 0.1}
    many = [service(f"s{number:02}", default) for number in range(40)]
    assert refused(*many) == []
    large = service("large", ONE, at=9)
    assert refused(*many, large) == ["large"]
    assert refused(*many[:10], large) == []


def test_the_figures_are_told() -> None:
    takers = [service(f"s{number}", ONE, at=number) for number in range(7)]
    told = found(*takers, service("large", {"memory_gb": 2, "num_replicas": 1}, at=99))
    message = told["large"].shortage
    assert message.startswith(
        "It asks for 2 GB of memory (memory_gb). This machine has 8, of which 7 are taken by "
        "'s0' (1), 's1' (1), 's2' (1), 's3' (1), 's4' (1), 2 more (2)."
    )
    alone = found(service("many", {"memory_gb": 2, "num_replicas": 200}))["many"]
    assert "200 replicas with 2 GB of memory each (memory_gb), which is 400 GB" in alone.shortage
    assert "this machine has 8." in alone.shortage


def test_more_replicas_are_started_only_where_nothing_is_reserved() -> None:
    asked = {"memory_gb": 1, "num_replicas": None, "autoscale_max_replicas": 10}
    scaled = service("scaled", asked, serving=1)
    runtime = scaled.version().wanted.runtime
    assert found(scaled)["scaled"].most_replicas(runtime) == 8
    beside = found(scaled, service("other", FIVE, serving=1))
    assert beside["scaled"].most_replicas(runtime) == 3
    crowded = found(scaled, *(service(f"s{n}", FIVE, serving=1) for n in range(3)))
    assert crowded["scaled"].most_replicas(runtime) == 1
