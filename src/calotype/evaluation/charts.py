"""The geometry of the report's charts; the templates draw it as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calotype.evaluation.arrays import Floats
from calotype.evaluation.calibration import Calibration
from calotype.evaluation.intervals import Estimate
from calotype.evaluation.ranking import Curve, Ranking
from calotype.models.calibration import BINS
from calotype.pages.charts import UNIT, Chart, Frame, Line, styles
from calotype.pages.wording import decimal

SQUARE = Frame(UNIT, UNIT)
STRIP = 56.0  # height of the histogram below the reliability diagram
INTERVAL_WIDTH = 160.0
_INTERVAL_MARGIN = 4.0


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


def ranking_charts(ranking: Ranking) -> list[Chart]:
    """Return the ROC and the precision-recall chart; none when no class can be ranked."""
    curves = list(ranking.curves)
    if ranking.mean_curve is not None and len(curves) > 1:
        curves.insert(0, ranking.mean_curve)
    if not curves:
        return []
    roc = _lines([(curve, curve.roc, curve.roc_auc) for curve in curves])
    pr = _lines([(curve, _steps(curve.pr), curve.pr_auc) for curve in curves])
    return [
        Chart(
            title="ROC",
            x_label="False positive rate",
            y_label="Recall",
            note="Numbers: area under the curve.",
            frame=SQUARE,
            lines=roc,
            has_diagonal=True,
        ),
        Chart(
            title="Precision and recall",
            x_label="Recall",
            y_label="Precision",
            note="Numbers: average precision.",
            frame=SQUARE,
            lines=pr,
        ),
    ]


def _lines(curves: Sequence[tuple[Curve, Floats, float]]) -> tuple[Line, ...]:
    lines: list[Line] = []
    colours = styles()
    for curve, points, area in curves:
        drawn = (SQUARE.points(points.tolist()),)
        if curve.name is None:
            lines.append(Line("mean over the classes", decimal(area), "mean", drawn, is_ours=True))
        else:
            lines.append(Line(curve.name, decimal(area), next(colours), drawn))
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
        x=SQUARE.x_of(index / BINS),
        width=round(SQUARE.width / BINS, 1),
        accuracy_y=SQUARE.y_of(accuracy),
        accuracy_height=round(SQUARE.height * accuracy, 1),
        confidence_y=SQUARE.y_of(confidence),
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
