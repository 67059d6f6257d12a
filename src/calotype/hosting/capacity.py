"""What the services of a workspace ask of this machine together, and who has room on it.

A function of the records alone: whoever reads them finds the same. Who serves keeps its place; the
others are let in one after the other, in the order in which they were asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from calotype.resources import usable_cores, usable_memory_bytes
from calotype.workspace.service_settings import RuntimeSettings
from calotype.workspace.service_values import Revision, Service, Version

Amounts = Mapping[str, float]
"""How much of each resource, by the name of the setting that asks for it."""

_UNITS: Final = {"memory_gb": "GB of memory", "cpu_cores": "cores", "gpu_cores": "GPUs"}
_DEFAULTS: Final = RuntimeSettings()
_NOISE: Final = 1e-6  # of sums of tenths
_MOST_NAMES: Final = 5
_Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """What the machine has for one version.

    Attributes:
        shortage: why the wanted revision has no room, in sentences; empty when it has.
        room: what all replicas together may ask for.
    """

    shortage: str
    room: Amounts

    def most_replicas(self, runtime: RuntimeSettings) -> int:
        """Return how many replicas have room, at least one."""
        each = _of_replicas(runtime, 1)
        return max(1, min(int(self.room[one] / each[one] + _NOISE) for one in _UNITS if each[one]))


@functools.cache
def machine() -> Amounts:
    """Return what this machine has, as the keeper found it at its start."""
    devices = len(list(Path("/dev").glob("nvidia[0-9]*")))
    memory_gb = usable_memory_bytes() / 1e9
    return {"memory_gb": memory_gb, "cpu_cores": usable_cores(), "gpu_cores": devices}


def places(services: Iterable[Service], there: Amounts) -> dict[str, dict[str, Place]]:
    """Return the place of each version, by service and version; none for services that are stopped.

    Args:
        services: all that this machine keeps.
        there: what the machine has.
    """
    asking = [
        (service, version)
        for service in services
        if service.desired == "running"
        for version in service.versions
    ]
    taken = {
        (service.name, version.name): _asked(service, version.revision(version.serving_revision))
        for service, version in asking
        if version.serving_revision is not None
    }
    shortages: dict[_Name, str] = {}
    for service, version in sorted(asking, key=_asked_at):
        name, asked = (service.name, version.name), _asked(service, version.wanted)
        others = {other: amounts for other, amounts in taken.items() if other != name}
        shortages[name] = _alone(service, version, there)
        if not shortages[name] and not _has_place(version, asked):
            shortages[name] = _beside(asked, others, there)
        if not shortages[name] and not _has_failed(version):
            before = taken.get(name, asked)  # old and new replicas need not fit side by side
            taken[name] = {one: max(asked[one], before[one]) for one in _UNITS}
    free = {one: there[one] - sum(amounts[one] for amounts in taken.values()) for one in _UNITS}
    nothing = dict.fromkeys(_UNITS, 0.0)
    found: dict[str, dict[str, Place]] = {}
    for name, shortage in shortages.items():
        room = {one: free[one] + taken.get(name, nothing)[one] for one in _UNITS}
        found.setdefault(name[0], {})[name[1]] = Place(shortage, room)
    return found


def least_replicas(service: Service, runtime: RuntimeSettings) -> int:
    """Return how many replicas a revision cannot do without."""
    if service.target != "cluster":
        return 1
    return runtime.num_replicas or runtime.autoscale_min_replicas


def _asked(service: Service, revision: Revision) -> Amounts:
    return _of_replicas(revision.runtime, least_replicas(service, revision.runtime))


def _of_replicas(runtime: RuntimeSettings, replicas: int) -> Amounts:
    return {one: getattr(runtime, one) * replicas for one in _UNITS}


def _asked_at(asking: tuple[Service, Version]) -> tuple[datetime, str, str]:
    service, version = asking
    at = version.wanted.created_at or datetime.min.replace(tzinfo=UTC)
    return at, service.name, version.name


def _has_place(version: Version, asked: Amounts) -> bool:
    """Whether nobody can take the room of a version, or it is too small to be refused for it."""
    if version.serving_revision == version.wanted_revision:
        return True
    least = _of_replicas(_DEFAULTS, 1)
    return all(asked[one] <= least[one] for one in _UNITS)


def _has_failed(version: Version) -> bool:
    """Whether what is wanted will not run until the record changes."""
    return (version.error or {}).get("revision") == str(version.wanted_revision)


def _alone(service: Service, version: Version, there: Amounts) -> str:
    """Return why a version would not even fit on an empty machine."""
    runtime = version.wanted.runtime
    replicas = least_replicas(service, runtime)
    for one, unit in _UNITS.items():
        each = getattr(runtime, one)
        if each * replicas <= there[one] + _NOISE:
            continue
        asked = f"{each:g} {unit} ({one})"
        if replicas > 1:
            asked = (
                f"{replicas} replicas with {each:g} {unit} each ({one}), which is "
                f"{each * replicas:.4g} {unit}"
            )
        return (
            f"It asks for {asked}, and this machine has {there[one]:.3g}. "
            "Ask for less, or deploy it on a larger machine."
        )
    return ""


def _beside(asked: Amounts, others: Mapping[_Name, Amounts], there: Amounts) -> str:
    """Return why a version does not fit beside those that are there."""
    for one, unit in _UNITS.items():
        taken = sum(amounts[one] for amounts in others.values())
        if asked[one] and asked[one] + taken > there[one] + _NOISE:
            return (
                f"It asks for {asked[one]:.4g} {unit} ({one}). This machine has "
                f"{there[one]:.3g}, of which {taken:.4g} are taken by "
                f"{_takers(others, one)}. It starts by itself when there is room: ask for less, "
                "or update or delete another service."
            )
    return ""


def _takers(others: Mapping[_Name, Amounts], resource: str) -> str:
    """Return who takes how much of a resource, the largest first."""
    sums: dict[str, float] = {}
    for (service, _), amounts in others.items():
        sums[service] = sums.get(service, 0.0) + amounts[resource]
    largest = sorted(sums.items(), key=lambda taker: (-taker[1], taker[0]))
    said = [f"'{service}' ({amount:.4g})" for service, amount in largest[:_MOST_NAMES] if amount]
    more = sum(amount for _, amount in largest[_MOST_NAMES:])
    if more:
        said.append(f"{len(largest) - _MOST_NAMES} more ({more:.4g})")
    return ", ".join(said)
