"""95 % intervals by the bootstrap: what would the metrics be for other images of the same kind?

Each resample draws as many rows as there are, with replacement, and the interval of a metric runs
from the 2.5th to the 97.5th percentile of its values (Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993, section 13.3). Metrics that follow from counts and means are computed anew for
every resample; the areas under curves and the calibration error to first order, by their gradients.

We differ in one thing: the values of the resamples are shifted so that their mean is the metric
itself. Averages over many small classes are biased in resamples, which lack some of the classes'
few images (section 10.3): of 1,000 classes with 5 images each, the plain interval of macro F1 lies
wholly below the value it belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from calotype.evaluation.arrays import Floats
from calotype.evaluation.counts import Counts, count_metrics
from calotype.evaluation.metrics import METRICS, Measurement

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; all three are NaN when it has no value."""

    value: float
    low: float
    high: float


def draw_weights(rows: int, *, resamples: int, seed: int, stream: int = 0) -> Iterator[Floats]:
    """Draw how often each row is in each resample, shape (rows,), `resamples` times.

    Args:
        rows: how many rows there are, and are drawn.
        resamples: how often to draw.
        seed: the same seed draws the same rows, on every machine.
        stream: draws of different streams are independent of each other.
    """
    random = np.random.default_rng([seed, stream])
    for _ in range(resamples):
        drawn = random.integers(0, rows, size=rows)
        yield np.bincount(drawn, minlength=rows).astype(np.float64)


def resample(measurement: Measurement, weights: Iterable[Floats]) -> dict[str, Floats]:
    """Compute each metric for each resample, shape (resamples,).

    Args:
        measurement: the metrics of all rows.
        weights: how often each row is in a resample, shape (rows,), for each resample.
    """
    actual, predicted = measurement.outcomes.actual, measurement.outcomes.predicted
    hit = np.flatnonzero(actual == predicted)
    size = len(measurement.outcomes.classes) + 1  # the last is for categories that are no class
    of_rows = _row_quantities(measurement)  # (rows, 6)
    counted: list[Floats] = []
    summed: list[Floats] = []
    for weight in weights:
        of_classes = [
            np.bincount(actual[hit], weight[hit], minlength=size),
            np.bincount(actual, weight, minlength=size),
            np.bincount(predicted, weight, minlength=size),
        ]
        counted.append(np.array(of_classes, np.float64)[:, :-1])
        summed.append(weight @ of_rows)
    hits, of_actual, of_predicted = np.array(counted).swapaxes(0, 1)  # (resamples, classes) each
    rows = np.full(len(counted), float(len(actual)))
    counts = Counts(hits=hits, actual=of_actual, predicted=of_predicted, rows=rows)
    values = count_metrics(counts) | _summed_metrics(np.array(summed), measurement=measurement)
    return {name: values[name] for name in METRICS}


def _row_quantities(measurement: Measurement) -> Floats:
    """Return what is summed over the rows of a resample, shape (rows, 6)."""
    return np.column_stack(
        [
            measurement.is_hit,
            measurement.loss,
            measurement.outcomes.is_known,
            measurement.ranking.roc_gradient,
            measurement.ranking.pr_gradient,
            measurement.calibration.ece_gradient,
        ]
    ).astype(np.float64)


def _summed_metrics(sums: Floats, *, measurement: Measurement) -> dict[str, Floats]:
    """Turn the sums of `_row_quantities`, shape (resamples, 6), into metrics."""
    hits, loss, known, *changes = sums.T
    mean_loss = np.full_like(loss, np.nan)
    linear = zip(("roc_auc", "pr_auc", "ece"), changes, strict=True)
    return {
        "top_5_accuracy": hits / measurement.outcomes.count,
        "log_loss": np.divide(loss, known, out=mean_loss, where=known > 0),
    } | {name: measurement.values[name] + change for name, change in linear}


def estimates(
    values: dict[str, float], resampled: dict[str, Floats], *, is_difference: bool = False
) -> dict[str, Estimate]:
    """Give each value the interval of its resamples.

    Args:
        values: a number for each of `METRICS`.
        resampled: the same in each resample, shape (resamples,).
        is_difference: the values are differences of metrics, which may be negative.
    """
    found: dict[str, Estimate] = {}
    for name, value in values.items():
        low, high = _interval(value, resampled[name])
        if not is_difference:
            low, high = max(low, 0.0), min(high, METRICS[name].maximum)
        found[name] = Estimate(value, low, high)
    return found


def _interval(value: float, resampled: Floats) -> tuple[float, float]:
    defined = resampled[~np.isnan(resampled)]
    if math.isnan(value) or not len(defined):
        return math.nan, math.nan
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined - defined.mean(), [tail, 1 - tail]).tolist()
    return value + min(low, 0.0), value + max(high, 0.0)
