"""The geometry of the report's charts; the templates draw it as SVG.

All coordinates are in units of the drawing, y downwards; the page scales them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calotype.evaluation.arrays import Floats
from calotype.evaluation.calibration import BINS, Calibration
from calotype.evaluation.intervals import Estimate
from calotype.evaluation.ranking import Curve, Ranking

SIDE = 300.0  # of the square that 0-1 by 0-1 is drawn in
LEFT, TOP = 50.0, 8.0  # of the square's corner
STRIP = 56.0  # height of the histogram below the reliability diagram
INTERVAL_WIDTH = 160.0
_INTERVAL_MARGIN = 4.0
_STYLES = 10  # colours and dashes in report.css.j2


@dataclass(frozen=True)
class Line:
    """One curve of a chart.

    Args:
        name: the class; None for the mean over the classes.
        style: number of its colour and dashes, or `mean`.
        points: for an SVG `polyline`.
        area: under the curve, 0-1.
    """

    name: str | None
    style: str
    points: str
    area: float


@dataclass(frozen=True)
class Chart:
    """A square chart of curves, from 0 to 1 on both axes."""

    title: str
    x_label: str
    y_label: str
    area_name: str
    lines: tuple[Line, ...]
    has_diagonal: bool


@dataclass(frozen=True)
class Bar:
    """One bin of the reliability diagram, and its bar in the histogram below."""

    x: float
    width: float
    accuracy_y: float
    accuracy_height: float
    confidence_y: float
    strip_y: float
    strip_height: float
    text: str


@dataclass(frozen=True)
class Whisker:
    """A value and its interval on a short horizontal axis, and 0 if it lies inside."""

    low: float
    value: float
    high: float
    zero: float | None


def x_of(value: float) -> float:
    """Return where a value from 0 to 1 stands on the horizontal axis."""
    return round(LEFT + value * SIDE, 1)


def y_of(value: float) -> float:
    """Return where a value from 0 to 1 stands on the vertical axis."""
    return round(TOP + (1 - value) * SIDE, 1)


def ranking_charts(ranking: Ranking) -> list[Chart]:
    """Return the ROC and the precision-recall chart; none when no class can be ranked."""
    curves = list(ranking.curves)
    if ranking.mean_curve is not None and len(curves) > 1:
        curves.insert(0, ranking.mean_curve)
    if not curves:
        return []
    roc = [(curve, curve.roc, curve.roc_auc) for curve in curves]
    pr = [(curve, _steps(curve.pr), curve.pr_auc) for curve in curves]
    return [
        Chart("ROC", "False positive rate", "Recall", "area under the curve", _lines(roc), True),
        Chart(
            "Precision and recall", "Recall", "Precision", "average precision", _lines(pr), False
        ),
    ]


def _lines(curves: Sequence[tuple[Curve, Floats, float]]) -> tuple[Line, ...]:
    lines: list[Line] = []
    styles = itertools.cycle(range(_STYLES))
    for curve, points, area in curves:
        style = "mean" if curve.name is None else str(next(styles))
        drawn = " ".join(f"{x_of(x)},{y_of(y)}" for x, y in points.tolist())
        lines.append(Line(curve.name, style, drawn, area))
    return tuple(lines)


def _steps(points: Floats) -> Floats:
    """Turn points (recall, precision) into the stairs whose area is the average precision."""
    recall, precision = points.T
    left = np.append(0.0, recall[:-1])  # each precision holds from the recall before it
    return np.column_stack([np.stack([left, recall], 1).ravel(), precision.repeat(2)])


def reliability_bars(calibration: Calibration) -> list[Bar]:
    """Return the bins that hold images."""
    most = calibration.images.max()
    filled = np.flatnonzero(calibration.images)
    columns = (
        filled,
        *(
            column[filled]
            for column in (calibration.images, calibration.confidence, calibration.accuracy)
        ),
    )
    return [
        _bar(int(index), images=images, most=most, confidence=confidence, accuracy=accuracy)
        for index, images, confidence, accuracy in zip(*columns, strict=True)
    ]


def _bar(index: int, *, images: float, most: float, confidence: float, accuracy: float) -> Bar:
    strip = round(STRIP * images / most, 1)
    return Bar(
        x=x_of(index / BINS),
        width=round(SIDE / BINS, 1),
        accuracy_y=y_of(accuracy),
        accuracy_height=round(SIDE * accuracy, 1),
        confidence_y=y_of(confidence),
        strip_y=STRIP - strip,
        strip_height=strip,
        text=f"{images:,.0f} images: probability {confidence:.1%}, right {accuracy:.1%}",
    )


def whisker(estimate: Estimate, *, bounds: tuple[float, float]) -> Whisker | None:
    """Place an interval on an axis from `bounds[0]` to `bounds[1]`; None when it has no value."""
    low, high = bounds
    if math.isnan(estimate.low) or high <= low:
        return None

    def place(value: float) -> float:
        part = (value - low) / (high - low)
        return round(_INTERVAL_MARGIN + part * (INTERVAL_WIDTH - 2 * _INTERVAL_MARGIN), 1)

    zero = place(0.0) if low < 0 < high else None
    return Whisker(place(estimate.low), place(estimate.value), place(estimate.high), zero)


def farthest(estimates: Sequence[Estimate]) -> float:
    """Return the largest distance from 0 that any of the intervals reaches."""
    ends = [abs(end) for estimate in estimates for end in (estimate.low, estimate.high)]
    return max((end for end in ends if not math.isnan(end)), default=0.0)
