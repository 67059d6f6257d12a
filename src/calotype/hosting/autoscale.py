"""How many replicas a service should have, by how busy they are: up quickly, down slowly."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

DOWN_EVERY_S: Final = 60.0
_GROWTH: Final = 2  # requests that wait look like work: more would overshoot


@dataclass(frozen=True, slots=True)
class AutoscaleRules:
    """The rules of one service.

    Attributes:
        target_utilization: percent of what the replicas can do at a time.
        refresh_s: how often more replicas may be asked for.
        concurrent_requests: how many one replica does at a time.
    """

    min_replicas: int = 1
    max_replicas: int = 10
    target_utilization: int = 70
    refresh_s: float = 1.0
    concurrent_requests: int = 1


@dataclass(frozen=True, slots=True)
class Scale:
    """A decision: how many replicas, and why in a sentence for the log."""

    replicas: int
    reason: str


class Autoscaler:
    """Decides for one version of one service; told about its load again and again.

    Args:
        rules: of the service.
    """

    def __init__(self, rules: AutoscaleRules) -> None:
        self.rules = rules
        self._history: deque[tuple[float, int]] = deque()  # when, and how many were needed
        self._raised_s = -math.inf
        self._lowered_s = -math.inf

    def decide(self, now_s: float, load: float, *, present: int, ready: int) -> Scale:
        """Return how many replicas there should be.

        Args:
            now_s: on a clock that never goes back.
            load: requests in flight on average since the last call, `Window.load`.
            present: replicas that there are, starting ones too.
            ready: how many of them take requests.
        """
        rules = self.rules
        needed = self._needed(load)
        self._remember(now_s, needed)
        if present < rules.min_replicas:
            return Scale(rules.min_replicas, f"at least {rules.min_replicas} are wanted")
        if present > rules.max_replicas:
            return Scale(rules.max_replicas, f"at most {rules.max_replicas} are wanted")
        if needed > present:
            return self._up(now_s, load, needed, present, ready)
        return self._down(now_s, needed, present)

    def _needed(self, load: float) -> int:
        rules = self.rules
        each = rules.concurrent_requests * rules.target_utilization / 100
        # The least excess is noise of the clock.
        needed = math.ceil(load / each - 1e-6)
        return min(max(needed, rules.min_replicas), rules.max_replicas)

    def _remember(self, now_s: float, needed: int) -> None:
        if not self._history:
            self._lowered_s = now_s  # a whole minute has to be known before the first step down
        self._history.append((now_s, needed))
        while self._history[0][0] < now_s - DOWN_EVERY_S:
            self._history.popleft()

    def _up(self, now_s: float, load: float, needed: int, present: int, ready: int) -> Scale:
        limited = min(needed, max(_GROWTH * ready, 1))
        if limited <= present or now_s - self._raised_s < self.rules.refresh_s:
            return Scale(present, "the replicas that were asked for are starting")
        self._raised_s = self._lowered_s = now_s
        percent = 100 * load / max(ready * self.rules.concurrent_requests, 1)
        return Scale(
            limited,
            f"{ready} are busy to {percent:.0f} %, more than {self.rules.target_utilization} %",
        )

    def _down(self, now_s: float, needed: int, present: int) -> Scale:
        if needed == present:
            return Scale(present, "as many as are needed")
        if now_s - self._lowered_s < DOWN_EVERY_S:
            return Scale(present, f"fewer are looked for every {DOWN_EVERY_S:.0f} s only")
        self._lowered_s = now_s
        most = max(count for _, count in self._history)
        if most >= present:
            return Scale(present, "all were needed within the last minute")
        return Scale(most, f"no more than {most} were needed within the last minute")
