"""Which version of a service answers a request, and which get a copy of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from calotype.hosting.routes import VersionRoute

HEADER: Final = b"x-calotype-version"
_WHOLE: Final = 100.0


class Traffic:
    """The shares of the versions of one service.

    Args:
        versions: by name; the default takes what the others leave.
        chance: returns numbers from 0 to below 1.
    """

    def __init__(
        self, versions: Mapping[str, VersionRoute], *, chance: Callable[[], float] = random.random
    ) -> None:
        self.default = _default(versions)
        self._chance = chance
        self._shares = _shares(versions, self.default)
        self._mirrors = [
            (name, route.mirror_percent)
            for name, route in versions.items()
            if route.mirror_percent > 0
        ]

    def choose(self) -> str:
        """Return the version for a request that asks for none."""
        if len(self._shares) == 1:
            return self._shares[0][0]
        point = self._chance() * _WHOLE
        for name, share in self._shares:
            point -= share
            if point < 0:
                return name
        return self.default

    def copies(self, chosen: str) -> Sequence[str]:
        """Return the versions that get a copy of a request which `chosen` answers."""
        if not self._mirrors:
            return ()
        return [
            name
            for name, percent in self._mirrors
            if name != chosen and self._chance() * _WHOLE < percent
        ]


def effective_percents(
    versions: Mapping[str, VersionRoute], ready: Sequence[str]
) -> dict[str, float]:
    """Return what part of the requests each version answers now.

    What has no replica leaves its share to the default version, or else to the first that has any.

    Args:
        versions: by name.
        ready: those that have one.
    """
    default = _default(versions)
    percents = dict.fromkeys(versions, 0.0)
    if ready:
        instead = default if default in ready else ready[0]
        for name, share in _shares(versions, default):
            percents[name if name in ready else instead] += share
    return percents


def _default(versions: Mapping[str, VersionRoute]) -> str:
    marked = [name for name, route in versions.items() if route.is_default]
    most = max(versions, key=lambda name: versions[name].traffic_percent)
    return marked[0] if marked else most


def _shares(versions: Mapping[str, VersionRoute], default: str) -> list[tuple[str, float]]:
    """Return what part of 100 each version gets, those with none left out."""
    others = {
        name: float(route.traffic_percent)
        for name, route in versions.items()
        if name != default and route.traffic_percent > 0
    }
    total = sum(others.values())
    if total > _WHOLE:
        others = {name: share * _WHOLE / total for name, share in others.items()}
        total = _WHOLE
    shares = list(others.items())
    return [(default, _WHOLE - total), *shares] if total < _WHOLE else shares
