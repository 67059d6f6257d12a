"""Whether two sets of counts come from the same distribution, and how far they are apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST_EXPECTED: Final = 5.0  # images in a cell; rarer classes are tested together
_TERMS: Final = 10_000
_TINY: Final = 1e-300

Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a set of counts differs from a reference.

    Attributes:
        p_value: of a G-test of homogeneity: how probable a difference of this size is when both
            come from the same distribution; None for fewer than two groups to compare.
        psi: the population stability index: below 0.1 little, above 0.25 much has changed.
        groups: how many classes were compared, the rare ones as one.
    """

    p_value: float | None
    psi: float
    groups: int


def compare(reference: Sequence[float], found: Sequence[float]) -> Comparison:
    """Compare two sets of counts, class by class."""
    pooled = pool(np.array([reference, found], np.float64))
    groups = pooled.shape[1]
    if groups < 2 or not pooled.sum(axis=1).all():
        return Comparison(None, 0.0, groups)
    expected = pooled.sum(axis=1, keepdims=True) * pooled.sum(axis=0) / pooled.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(pooled > 0, pooled * np.log(pooled / expected), 0.0)
    return Comparison(chi_square_tail(2 * float(terms.sum()), groups - 1), psi(pooled), groups)


def pool(counts: Counts) -> Counts:
    """Put columns together that are too rare for a test, the rarest first."""
    share = counts.sum(axis=1).min() / max(counts.sum(), 1.0)
    is_rare = counts.sum(axis=0) * share < LEAST_EXPECTED
    common, rare = counts[:, ~is_rare], counts[:, is_rare].sum(axis=1, keepdims=True)
    return np.hstack([common, rare]) if rare.any() else common


def psi(pooled: Counts) -> float:
    """Return the population stability index of two rows; half an image keeps it finite."""
    smoothed = pooled + 0.5
    shares = smoothed / smoothed.sum(axis=1, keepdims=True)
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def share_p_value(reference: int, of_reference: int, found: int, of_found: int) -> float:
    """Return how probable it is that two shares differ as much by chance: a G-test of one class."""
    table = np.array([[reference, of_reference - reference], [found, of_found - found]], np.float64)
    if not (table.sum(axis=0).all() and table.sum(axis=1).all()):
        return 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(table > 0, table * np.log(table / expected), 0.0)
    return chi_square_tail(2 * float(terms.sum()), 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that bear having been looked at together, after Holm."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, highest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = highest
    return adjusted


def chi_square_tail(value: float, degrees: int) -> float:
    """Return how probable a chi-square value of at least `value` is.

    >>> round(chi_square_tail(3.841459, 1), 4)
    0.05
    """
    if value <= 0:
        return 1.0
    a, x = degrees / 2, value / 2
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        return max(0.0, 1.0 - scale * _lower_series(a, x))
    return min(1.0, scale * _upper_fraction(a, x))


def _lower_series(a: float, x: float) -> float:
    term = total = 1 / a
    for step in range(1, _TERMS):
        term *= x / (a + step)
        total += term
        if term < total * 1e-15:
            break
    return total


def _upper_fraction(a: float, x: float) -> float:
    """Return the continued fraction of the upper incomplete gamma function, after Lentz."""
    b = x + 1 - a
    c, d = 1 / _TINY, 1 / b
    result = d
    for step in range(1, _TERMS):
        numerator = -step * (step - a)
        b += 2
        d = 1 / (_kept_off_zero(numerator * d + b))
        c = _kept_off_zero(b + numerator / c)
        result *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return result


def _kept_off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
