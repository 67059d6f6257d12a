"""How the report says numbers and findings in plain words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from calotype.evaluation.comparison import Comparison, Matching, McNemar
from calotype.evaluation.intervals import Estimate
from calotype.evaluation.metrics import METRICS, Metric
from calotype.pages.wording import NOTHING, count, decimal


def percent_interval(estimate: Estimate) -> str:
    """Return the ends of an interval as percentages: `91.0 – 94.2 %`."""
    return f"{100 * estimate.low:.1f} – {100 * estimate.high:.1f} %"


def signed(value: float) -> str:
    """Return a difference with its sign: `+0.0120`."""
    return NOTHING if math.isnan(value) else f"{value:+.4f}"


def interval(estimate: Estimate) -> str:
    """Return the ends of an interval: `0.9012 – 0.9321`."""
    if math.isnan(estimate.low):
        return NOTHING
    return f"{estimate.low:.4f} – {estimate.high:.4f}"


def signed_interval(estimate: Estimate) -> str:
    """Return the ends of the interval of a difference: `-0.0040 to +0.0120`."""
    if math.isnan(estimate.low):
        return NOTHING
    return f"{estimate.low:+.4f} to {estimate.high:+.4f}"


def brief(estimate: Estimate) -> str:
    """Return a number and its interval in little room: `0.9132 (0.9012–0.9321)`."""
    if math.isnan(estimate.low):
        return decimal(estimate.value)
    return f"{estimate.value:.4f} ({estimate.low:.4f}–{estimate.high:.4f})"


def brief_difference(difference: Estimate) -> str:
    """Return a difference and its interval in little room: `+0.0040 (-0.0040, +0.0120)`."""
    if math.isnan(difference.low):
        return signed(difference.value)
    return f"{difference.value:+.4f} ({difference.low:+.4f}, {difference.high:+.4f})"


FILTERS: dict[str, Callable[..., str]] = {
    "signed": signed,
    "interval": interval,
    "signed_interval": signed_interval,
}


def judge(difference: Estimate, metric: Metric) -> str:
    """Return whether the right set is `better` or `worse`; nothing when 0 is in the interval."""
    if math.isnan(difference.low) or difference.low <= 0 <= difference.high:
        return ""
    return "better" if (difference.low > 0) == metric.is_better_high else "worse"


def verdict(comparison: Comparison, names: Sequence[str]) -> str:
    """Return the finding about accuracy in one sentence."""
    difference = comparison.differences["overall_accuracy"]
    low, value, high = (100 * each for each in (difference.low, difference.value, difference.high))
    judgement = judge(difference, METRICS["overall_accuracy"])
    if judgement == "better":
        finding = f"is more accurate than {names[0]}: by {value:.1f} percentage points"
        return f"{names[1]} {finding} (95 % interval {low:.1f} to {high:.1f})."
    if judgement == "worse":
        finding = f"is less accurate than {names[0]}: by {-value:.1f} percentage points"
        return f"{names[1]} {finding} (95 % interval {-high:.1f} to {-low:.1f})."
    return (
        f"Neither is clearly more accurate: {names[1]} differs from {names[0]} by {value:+.1f} "
        f"percentage points, and the 95 % interval from {low:+.1f} to {high:+.1f} contains 0."
    )


def pairing(matching: Matching) -> str:
    """Return how the two sets were compared."""
    if matching.is_complete:
        return (
            "Both sets hold the same images, so the intervals of the differences are those of "
            f"pairs: each of the {count(len(matching.left))} images was drawn for both at once."
        )
    if matching.reason:
        return f"The intervals of the differences take the sets as independent: {matching.reason}."
    return (
        "The intervals of the differences take the sets as independent, because they do not hold "
        f"the same images: {count(len(matching.left))} are in both, {count(matching.only_left)} "
        f"only in the first and {count(matching.only_right)} only in the second."
    )


def chance(test: McNemar, names: Sequence[str]) -> str:
    """Return what McNemar's test says."""
    p_value = "less than 0.0001" if test.p_value < 1e-4 else f"{test.p_value:.4f}"
    return (
        f"Of the images in both sets, {count(test.only_left_correct)} are right only in {names[0]} "
        f"and {count(test.only_right_correct)} only in {names[1]}. If both were equally good, a "
        f"split at least as uneven would have the probability {p_value} "
        f"(McNemar's test, {test.method})."
    )
