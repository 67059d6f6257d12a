"""Metrics that follow from counts alone: hits, images and predictions of each class.

The definitions are scikit-learn's, with `labels` being the classes that occur and
`zero_division=0`. They are written out here because the bootstrap computes each of them for a
thousand resamples at once; the tests hold them against scikit-learn itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calotype.evaluation.arrays import Bools, Floats


@dataclass(frozen=True)
class Counts:
    """What became of the images of each class. Leading axes, if any, are resamples.

    Args:
        hits: images of the class that were predicted as the class, shape (..., classes).
        actual: images of the class, shape (..., classes).
        predicted: images that were predicted as the class, shape (..., classes).
        rows: all images, also those whose category is no class, shape (...).
    """

    hits: Floats
    actual: Floats
    predicted: Floats
    rows: Floats

    @property
    def occurs(self) -> Bools:
        """Whether the class is the true or the predicted one of any image, shape (..., classes).

        Averages over classes leave out the others: nothing is known about them.
        """
        return (self.actual > 0) | (self.predicted > 0)

    @property
    def precision(self) -> Floats:
        """Which part of the predictions of each class is right, shape (..., classes)."""
        return _ratio(self.hits, self.predicted)

    @property
    def recall(self) -> Floats:
        """Which part of the images of each class was found, shape (..., classes)."""
        return _ratio(self.hits, self.actual)

    @property
    def f1(self) -> Floats:
        """The harmonic mean of precision and recall of each class, shape (..., classes)."""
        return _ratio(2 * self.hits, self.actual + self.predicted)

    @property
    def accuracy(self) -> Floats:
        """(TP + TN) / all of each class against the rest, shape (..., classes)."""
        mistakes = self.actual + self.predicted - 2 * self.hits
        return 1 - mistakes / self.rows[..., None]


def count_metrics(counts: Counts) -> dict[str, Floats]:
    """Compute every metric that needs counts only; each has the shape of `counts.rows`.

    Images of a category that is not among the classes are mistakes: they lower accuracy and the
    precision of the class that they were taken for. Recall does not see them, because it asks what
    became of the images of a class. A metric without any image to go by is NaN.

    `average_accuracy` is the mean over the classes of (TP + TN) / all, one class against the rest
    (Sokolova and Lapalme, "A systematic analysis of performance measures for classification
    tasks", 2009, table 3). It is high for many classes whatever the model does, and is here
    because the retired designer's family of modules reports it.
    """
    hits, actual, predicted = (
        array.sum(axis=-1) for array in (counts.hits, counts.actual, counts.predicted)
    )
    occurs = counts.occurs.astype(np.float64)
    return {
        "overall_accuracy": hits / counts.rows,
        "average_accuracy": _mean(counts.accuracy, weights=occurs),
        "micro_precision": _ratio(hits, predicted),
        "micro_recall": _ratio(hits, actual),
        "micro_f1": _ratio(2 * hits, actual + predicted),
        "macro_precision": _mean(counts.precision, weights=occurs),
        "macro_recall": _mean(counts.recall, weights=occurs),
        "macro_f1": _mean(counts.f1, weights=occurs),
        "weighted_precision": _mean(counts.precision, weights=counts.actual),
        "weighted_recall": _mean(counts.recall, weights=counts.actual),
        "weighted_f1": _mean(counts.f1, weights=counts.actual),
    }


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Divide; nothing of nothing counts as 0, as `zero_division=0` does."""
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)


def _mean(values: Floats, *, weights: Floats) -> Floats:
    """Average over the last axis; NaN where all weights are 0."""
    total = weights.sum(axis=-1)
    mean = np.full_like(total, np.nan)
    return np.divide((values * weights).sum(axis=-1), total, out=mean, where=total > 0)
