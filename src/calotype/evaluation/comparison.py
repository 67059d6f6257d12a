"""Two scored datasets side by side: which one is better, and might that be chance?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calotype.evaluation.arrays import Floats, Ints
from calotype.evaluation.intervals import Estimate, estimates
from calotype.evaluation.metrics import Measurement
from calotype.evaluation.outcomes import CATEGORY, Outcomes
from calotype.scored_dataset import ID, PATH

_EXACT_BELOW = 25  # discordant pairs; from here on the chi-squared distribution is near enough


@dataclass(frozen=True)
class Matching:
    """Which rows of two scored datasets are the same image with the same category.

    Args:
        left: rows of the left set, shape (matched,).
        right: the same images in the right set, shape (matched,).
        only_left: rows of the left set without a partner.
        only_right: rows of the right set without a partner.
        reason: why no row could be matched; empty otherwise.
    """

    left: Ints
    right: Ints
    only_left: int
    only_right: int
    reason: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether both sets hold exactly the same images, so that they can be compared in pairs."""
        return len(self.left) > 0 and self.only_left == self.only_right == 0


@dataclass(frozen=True)
class McNemar:
    """McNemar's test on the images that just one of the two sets has right.

    Args:
        only_left_correct: images that only the left set has right (b).
        only_right_correct: images that only the right set has right (c).
        p_value: chance of a split at least as uneven if both were equally good.
        method: how the chance was computed.
    """

    only_left_correct: int
    only_right_correct: int
    p_value: float
    method: str


@dataclass(frozen=True)
class Comparison:
    """How the right set differs from the left one.

    Args:
        matching: the images that both have.
        mcnemar: the test on them; None when there are none.
        differences: right minus left of each metric, with its 95 % interval.
    """

    matching: Matching
    mcnemar: McNemar | None
    differences: dict[str, Estimate]


def match(left: Outcomes, right: Outcomes) -> Matching:
    """Match the rows of two sets by id, path and category.

    Tables that do not say which image a row is, or name one image twice, cannot be matched.
    """
    rows_left, rows_right = _identities(left), _identities(right)
    reason = ""
    if not left.identity or left.identity != right.identity:
        reason = "the tables do not both say by id and path which image each row is"
    elif len(rows_left) < left.count or len(rows_right) < right.count:
        reason = "an image stands in one of the tables twice"
    elif not rows_left.keys() & rows_right.keys():
        reason = "no image is in both sets with the same category"
    if reason:
        none = np.zeros(0, np.int64)
        return Matching(none, none, left.count, right.count, reason=reason)
    pairs = [(row, rows_right[key]) for key, row in rows_left.items() if key in rows_right]
    of_left, of_right = np.array(pairs, np.int64).T
    return Matching(of_left, of_right, left.count - len(pairs), right.count - len(pairs))


def _identities(outcomes: Outcomes) -> dict[tuple[int, str, str], int]:
    columns = (outcomes.rows.column(name).to_pylist() for name in (ID, PATH, CATEGORY))
    return {key: row for row, key in enumerate(zip(*columns, strict=True))}


def mcnemar(left: Measurement, right: Measurement, *, matching: Matching) -> McNemar:
    """Test whether two sets differ in how many of the same images they have right.

    With few discordant images the two-sided binomial test is exact; with many, McNemar's
    chi-squared statistic with Edwards' continuity correction stands in for it (McNemar 1947;
    Edwards 1948).
    """
    is_left, is_right = (
        side.outcomes.is_correct[rows]
        for side, rows in ((left, matching.left), (right, matching.right))
    )
    b, c = int((is_left & ~is_right).sum()), int((~is_left & is_right).sum())
    if b + c < _EXACT_BELOW:
        tail = sum(math.comb(b + c, count) for count in range(min(b, c) + 1)) / 2 ** (b + c)
        return McNemar(b, c, min(1.0, 2 * tail), "exact binomial")
    # A split in halves would be over-corrected: (|0| - 1)² is not 0.
    statistic = max(0, abs(b - c) - 1) ** 2 / (b + c)
    p_value = math.erfc(math.sqrt(statistic / 2))  # upper tail of chi-squared with one degree
    return McNemar(b, c, p_value, "chi-squared with continuity correction")


def compare(
    measured: Sequence[Measurement], resampled: Sequence[dict[str, Floats]], *, matching: Matching
) -> Comparison:
    """Compare two measurements.

    Args:
        measured: the left one, which is the baseline, and the right one.
        resampled: metrics of each in every resample; of the same images when the matching is
            complete, of independent draws otherwise.
        matching: the images that both have.
    """
    left, right = measured
    values = {name: right.values[name] - value for name, value in left.values.items()}
    changes = {name: resampled[1][name] - resampled[0][name] for name in values}
    test = mcnemar(left, right, matching=matching) if len(matching.left) else None
    differences = estimates(values, changes, is_difference=True)
    return Comparison(matching, mcnemar=test, differences=differences)
