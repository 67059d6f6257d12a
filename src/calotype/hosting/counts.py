"""What the front door counts of each version of each service, and what has changed meanwhile.

Counters only ever grow, so whoever asks compares two answers; a door that was started anew counts
from nought, which shows as fewer requests than before.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from operator import add
from typing import Any, Final, Self

# Ten steps to a factor of ten, so that a percentile is known to a quarter.
_STEPS: Final = (1.0, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.3, 8.0)
BOUNDS_MS: Final = tuple(
    round(step * scale, 3) for scale in (0.1, 1.0, 10.0, 100.0, 1e3, 1e4) for step in _STEPS
)
_FAILED: Final = 500


class VersionCounts:
    """Counts the requests to one version as they come and go.

    Attributes:
        in_flight: requests without an answer, and copies.
        statuses: answers by status.
        latencies: answers by bucket of `BOUNDS_MS`, and one more for what took longer.
        total_ms: of all answers.
        mirrored, mirror_failures, mirror_dropped: copies that were sent, those that were answered
            5xx or not at all, and those that there was no room for.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.statuses: Counter[int] = Counter()
        self.latencies = [0] * (len(BOUNDS_MS) + 1)
        self.total_ms = 0.0
        self.mirrored = self.mirror_failures = self.mirror_dropped = 0
        self._busy_s = 0.0
        self._since_s = time.monotonic()

    def begin(self) -> float:
        """Note that a request goes to a replica; return when, on `time.monotonic`."""
        now_s = time.monotonic()
        self._busy_s += self.in_flight * (now_s - self._since_s)
        self._since_s = now_s
        self.in_flight += 1
        return now_s

    def end(self, status: int, begun_s: float) -> None:
        """Note that it was answered."""
        now_s = time.monotonic()
        self._busy_s += self.in_flight * (now_s - self._since_s)
        self._since_s = now_s
        self.in_flight -= 1
        elapsed_ms = (now_s - begun_s) * 1000
        self.statuses[status] += 1
        self.latencies[bisect_left(BOUNDS_MS, elapsed_ms)] += 1
        self.total_ms += elapsed_ms

    def forget(self) -> None:
        """Note that one is not waited for any more: another replica gets it, or it was a copy."""
        now_s = time.monotonic()
        self._busy_s += self.in_flight * (now_s - self._since_s)
        self._since_s = now_s
        self.in_flight -= 1

    def refuse(self, status: int) -> None:
        """Note that no replica could take one."""
        self.statuses[status] += 1

    @property
    def busy_s(self) -> float:
        """Seconds that all requests together have spent with replicas, the present ones too."""
        return self._busy_s + self.in_flight * (time.monotonic() - self._since_s)

    def to_document(self) -> dict[str, Any]:
        """Return this for `Snapshot.of_document`."""
        return {
            "at_s": time.monotonic(),
            "in_flight": self.in_flight,
            "busy_s": self.busy_s,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "latencies": list(self.latencies),
            "total_ms": self.total_ms,
            "mirrored": self.mirrored,
            "mirror_failures": self.mirror_failures,
            "mirror_dropped": self.mirror_dropped,
        }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counts of one version at one moment.

    Attributes:
        at_s: when, on `time.monotonic`, which all processes of a machine share.
        busy_s: that all requests together have spent with replicas.
    """

    at_s: float
    in_flight: int
    busy_s: float
    statuses: dict[int, int]
    latencies: tuple[int, ...]

    @classmethod
    def of_document(cls, document: dict[str, Any]) -> Self:
        """Read what `VersionCounts.to_document` wrote."""
        return cls(
            document["at_s"],
            document["in_flight"],
            document["busy_s"],
            {int(status): count for status, count in document["statuses"].items()},
            tuple(document["latencies"]),
        )

    def since(self, before: Snapshot | None) -> Window:
        """Return what has happened after `before`, or ever when the door was started since then."""
        if before is None or self._is_of_another_door(before):
            return Window(self.at_s, self.busy_s, self.statuses, self.latencies)
        return Window(
            self.at_s - before.at_s,
            self.busy_s - before.busy_s,
            {
                status: count - before.statuses.get(status, 0)
                for status, count in self.statuses.items()
            },
            tuple(now - then for now, then in zip(self.latencies, before.latencies, strict=True)),
        )

    def _is_of_another_door(self, before: Snapshot) -> bool:
        pairs = zip(self.latencies, before.latencies, strict=True)
        return self.busy_s < before.busy_s or any(now < then for now, then in pairs)


@dataclass(frozen=True, slots=True)
class Window:
    """What one version has done in a span of time.

    Attributes:
        length_s: of the span.
        busy_s: that all requests together have spent with replicas.
        statuses: answers by status.
        latencies: answers by bucket of `BOUNDS_MS`.
    """

    length_s: float
    busy_s: float
    statuses: dict[int, int]
    latencies: tuple[int, ...]

    def plus(self, other: Window) -> Window:
        """Return what was done in this span of time and another one."""
        statuses = Counter(self.statuses)
        statuses.update(other.statuses)
        return Window(
            self.length_s + other.length_s,
            self.busy_s + other.busy_s,
            dict(statuses),
            tuple(map(add, self.latencies, other.latencies)),
        )

    @property
    def requests(self) -> int:
        """How many were answered."""
        return sum(self.statuses.values())

    @property
    def failures(self) -> int:
        """How many were answered 5xx."""
        return sum(count for status, count in self.statuses.items() if status >= _FAILED)

    @property
    def load(self) -> float:
        """How many requests were in flight on average."""
        return self.busy_s / self.length_s if self.length_s > 0 else 0.0

    def latency_ms(self, share: float) -> float:
        """Return the latency that this share of the requests did not exceed; 0 without any."""
        most = sum(self.latencies) * share
        seen = 0
        for bound, count in zip((*BOUNDS_MS, 2 * BOUNDS_MS[-1]), self.latencies, strict=True):
            seen += count
            if seen and seen >= most:
                return bound
        return 0.0

    def slower_than(self, limit_ms: float) -> int:
        """Return how many certainly took longer."""
        return sum(self.latencies[bisect_left(BOUNDS_MS, limit_ms) + 1 :])
