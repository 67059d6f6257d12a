"""Whether a new version may have more of the traffic, by what it and the old one have answered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import Field

from calotype.hosting.counts import Window
from calotype.parameters import Parameters

Action = Literal["advance", "hold", "finish", "roll back"]

_Z: Final = 2.326  # one wrong verdict in a hundred, on either side
_SHARE: Final = 0.95
_WHOLE: Final = 100


class RolloutRules(Parameters):
    """When a new version gets more of the traffic, and when it loses all of it."""

    min_requests: int = Field(
        default=50, ge=1, description="Answers of the new version before a step is judged."
    )
    max_error_rate_increase: float = Field(
        default=0.02, ge=0, le=1, description="Of failures, over the old version: 0.02 is 2 %."
    )
    max_latency_ratio: float = Field(
        default=1.5, ge=1, description="Of the new version's p95 to the old version's."
    )
    step_percent: int = Field(default=10, ge=1, le=100, description="Of the traffic, each step.")
    step_s: float = Field(default=60.0, gt=0, description="The least that a step lasts.")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with the new version.

    Attributes:
        action: what.
        percent: its share of the traffic from now on; 0 after a roll back.
        reason: in one sentence.
    """

    action: Action
    percent: int
    reason: str


def judge(
    rules: RolloutRules,
    *,
    percent: int,
    step_age_s: float,
    control: Window,
    candidate: Window,
    most_percent: int = _WHOLE,
) -> Verdict:
    """Compare a new version (`candidate`) with the old one.

    A difference counts only when chance would hardly make it: 12 failures of 50 do, 1 of 50 does
    not, whatever the rules allow.

    Args:
        rules: of the rollout.
        percent: the new version's present share of the traffic.
        step_age_s: since when it has that share.
        control, candidate: what both have answered since then; of the old one, also what it has
            answered before when the new one leaves it too little.
        most_percent: what it can get at all. That share is judged as well before it is done.
    """
    if candidate.requests < rules.min_requests:
        count = f"{candidate.requests} of {rules.min_requests}"
        return Verdict("hold", percent, f"The new version has answered {count} requests.")
    worse = _fails_more(rules, control, candidate) or _is_slower(rules, control, candidate)
    if worse:
        return Verdict("roll back", 0, worse)
    if step_age_s < rules.step_s:
        left_s = rules.step_s - step_age_s
        return Verdict("hold", percent, f"The new version is as good; {left_s:.0f} s are left.")
    if percent >= most_percent:
        return Verdict("finish", percent, f"The new version is as good: it keeps its {percent} %.")
    more = min(percent + rules.step_percent, most_percent)
    return Verdict("advance", more, f"The new version is as good: it gets {more} %.")


def _fails_more(rules: RolloutRules, control: Window, candidate: Window) -> str:
    ours, (low, _) = _share(candidate.failures, candidate.requests)
    theirs, (_, high) = _share(control.failures, control.requests)
    # The lowest difference that goes with both counts.
    least = ours - theirs - math.hypot(ours - low, high - theirs)
    if least <= rules.max_error_rate_increase:
        return ""
    return (
        f"The new version failed {candidate.failures} of {candidate.requests} requests "
        f"({ours:.1%}), the old one {control.failures} of {control.requests} ({theirs:.1%}); "
        f"{rules.max_error_rate_increase:.1%} more are allowed."
    )


def _is_slower(rules: RolloutRules, control: Window, candidate: Window) -> str:
    known = sum(control.latencies)
    measured = sum(candidate.latencies)
    if not known or not measured:
        return ""
    # The old version's p95 is known no better than its number of requests allows.
    share = min(_SHARE + _Z * math.sqrt(_SHARE * (1 - _SHARE) / known), 1.0)
    limit_ms = control.latency_ms(share) * rules.max_latency_ratio
    slower = candidate.slower_than(limit_ms)
    _, (low, _) = _share(slower, measured)
    if low <= 1 - _SHARE:
        return ""
    return (
        f"{slower} of {measured} requests ({slower / measured:.0%}) took the new version more than "
        f"{limit_ms:.0f} ms, {rules.max_latency_ratio:g} times the p95 of the old one; "
        f"{1 - _SHARE:.0%} may."
    )


def _share(count: int, total: int) -> tuple[float, tuple[float, float]]:
    """Return a share with Wilson's interval; nothing is known to be wrong of nothing."""
    if not total:
        return 0.0, (0.0, 0.0)
    share = count / total
    middle = (share + _Z**2 / (2 * total)) / (1 + _Z**2 / total)
    reach = _Z * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    reach /= 1 + _Z**2 / total
    return share, (max(middle - reach, 0.0), min(middle + reach, 1.0))
