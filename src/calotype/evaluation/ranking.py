"""How well the probability of one class orders the images: ROC and precision-recall.

Beside each area stands its gradient with respect to the weight of every row. With it, the area of a
resample is `area + weights @ gradient` to first order, which turns 1,000 sorts of 50,000 rows times
1,000 classes into one product (the infinitesimal jackknife of Jaeckel 1972; Efron, "The Jackknife,
the Bootstrap and Other Resampling Plans", 1982, chapter 6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calotype.evaluation.arrays import Bools, Floats, Ints, Scores
from calotype.progress import Progress

GRID = np.linspace(0, 1, 101)  # where the mean curve over the classes is drawn
CURVES = 10  # more lines than that nobody tells apart
_CURVE_POINTS = 100  # finer than a drawing shows


@dataclass(frozen=True)
class Curve:
    """A ROC and a precision-recall curve of one class, or their means over the classes.

    Args:
        name: the class; None for the mean.
        roc_auc: area under the ROC curve, 0-1.
        pr_auc: average precision, 0-1.
        roc: points (false positive rate, true positive rate), shape (points, 2).
        pr: points (recall, precision), shape (points, 2).
    """

    name: str | None
    roc_auc: float
    pr_auc: float
    roc: Floats
    pr: Floats


@dataclass(frozen=True)
class Thresholds:
    """One class against the rest at every threshold that matters, from the highest down.

    Thresholds that matter are the probabilities of the images of the class, and one between each
    two of them: other rows in between change nothing by their order. With 50 images of a class
    among 50,000 that are 101 thresholds at most.

    Args:
        is_positive: whether each row is of the class, shape (rows,).
        step: the threshold that first takes each row in, shape (rows,).
        positives: rows of the class that each threshold takes in, shape (thresholds,).
        negatives: other rows that each threshold takes in, shape (thresholds,).
    """

    is_positive: Bools
    step: Ints
    positives: Floats
    negatives: Floats

    @classmethod
    def of(cls, scores: Scores, is_positive: Bools) -> Thresholds:
        """Find the thresholds of one class; both arrays have the shape (rows,)."""
        own = np.unique(scores[is_positive])
        below = np.searchsorted(own, scores)  # own scores below each row's
        is_tied = own[below.clip(max=len(own) - 1)] == scores
        step = 2 * (len(own) - below) - is_tied  # even: between two of own; odd: equal to one
        is_used = np.bincount(step, minlength=2 * len(own) + 1) > 0
        step = (np.cumsum(is_used) - 1)[step]
        rows = np.bincount(step).astype(np.float64)
        positives = np.bincount(step[is_positive], minlength=len(rows)).astype(np.float64)
        return cls(is_positive, step, positives=positives, negatives=rows - positives)

    def roc(self) -> tuple[float, Floats]:
        """Return the area under the ROC curve and its gradient, shape (rows,).

        The area is the chance that a row of the class scores higher than another one, ties counting
        half; the gradient is made of the structural components of DeLong et al. 1988.
        """
        positives, negatives = self.positives.sum(), self.negatives.sum()
        taken, mistaken = np.cumsum(self.positives), np.cumsum(self.negatives)
        below = (negatives - mistaken + self.negatives / 2) / negatives
        above = (taken - self.positives / 2) / positives
        area = float(self.positives @ below / positives)
        of_positive, of_negative = (below - area) / positives, (above - area) / negatives
        return area, self._by_row(of_positive, of_negative)

    def pr(self) -> tuple[float, Floats]:
        """Return the average precision and its gradient, shape (rows,).

        It is the mean over the rows of the class of the precision at the row's own score, the area
        under the step-shaped curve, as scikit-learn's `average_precision_score` has it.
        """
        positives = self.positives.sum()
        taken = np.cumsum(self.positives)
        rows = taken + np.cumsum(self.negatives)
        precision = taken / rows
        area = float(self.positives @ precision / positives)
        # A row counts at its own threshold and at all lower ones: sums from the far end.
        gain = np.cumsum((self.positives / rows)[::-1])[::-1]
        loss = np.cumsum((self.positives * precision / rows)[::-1])[::-1]
        of_positive, of_negative = precision - area + gain - loss, -loss
        return area, self._by_row(of_positive / positives, of_negative / positives)

    def _by_row(self, of_positive: Floats, of_negative: Floats) -> Floats:
        return np.where(self.is_positive, of_positive[self.step], of_negative[self.step])

    def rates(self) -> tuple[Floats, Floats, Floats]:
        """Return false positive rate, recall and precision, each of shape (thresholds,)."""
        taken, mistaken = np.cumsum(self.positives), np.cumsum(self.negatives)
        return mistaken / mistaken[-1], taken / taken[-1], taken / (taken + mistaken)

    def curve(self, name: str, *, roc_auc: float, pr_auc: float) -> Curve:
        """Return the two curves with no more points than a drawing needs."""
        false_rate, recall, precision = self.rates()
        roc = np.column_stack([np.append(0.0, false_rate), np.append(0.0, recall)])
        pr = np.column_stack([recall, precision])
        return Curve(name, roc_auc=roc_auc, pr_auc=pr_auc, roc=_thin(roc), pr=_thin(pr))

    def on_grid(self) -> Floats:
        """Return recall at each false positive rate, and precision at each recall, of `GRID`.

        Shape (2, points). Precision is a step function: at a recall between two thresholds it is
        that of the lower threshold, for no straight line between the two can be reached.
        """
        false_rate, recall, precision = self.rates()
        roc = np.interp(GRID, np.append(0.0, false_rate), np.append(0.0, recall))
        pr = precision[np.searchsorted(recall, GRID).clip(max=len(recall) - 1)]
        return np.stack([roc, pr])


def _thin(points: Floats) -> Floats:
    """Keep points that are equally far from each other along the curve, shape (points, 2)."""
    if len(points) <= _CURVE_POINTS:
        return points
    along = np.append(0.0, np.cumsum(np.abs(np.diff(points, axis=0)).sum(axis=1)))
    wanted = np.searchsorted(along, np.linspace(0, along[-1], _CURVE_POINTS))
    return points[np.unique(np.append(wanted, len(points) - 1))]


@dataclass(frozen=True)
class Ranking:
    """ROC and precision-recall of every class against the rest.

    A class without images, or with nothing but images of its own, has no areas (NaN) and does not
    take part in the means. Images of a category that is no class belong to the rest.

    Args:
        roc_auc: area under the ROC curve of each class, shape (classes,).
        pr_auc: average precision of each class, shape (classes,).
        roc_gradient: gradient of the mean of `roc_auc`, shape (rows,).
        pr_gradient: gradient of the mean of `pr_auc`, shape (rows,).
        curves: of the largest classes, largest first.
        mean_curve: the mean of the curves of all classes; None when no class has one.
    """

    roc_auc: Floats
    pr_auc: Floats
    roc_gradient: Floats
    pr_gradient: Floats
    curves: tuple[Curve, ...]
    mean_curve: Curve | None


def rank(scores: Scores, *, actual: Ints, classes: tuple[str, ...], progress: Progress) -> Ranking:
    """Measure how the probability of each class orders the rows.

    Args:
        scores: probability of each class for each row, shape (classes, rows).
        actual: class index of each row, shape (rows,); `len(classes)` for no class.
        classes: names in index order.
        progress: told about each class.
    """
    images = np.bincount(actual, minlength=len(classes) + 1)[: len(classes)]
    rankable = np.flatnonzero((images > 0) & (images < len(actual)))
    drawn = _to_draw(images, rankable=rankable)
    curves: dict[int, Curve] = {}
    areas = np.full((2, len(classes)), np.nan)
    gradients, means = np.zeros((2, len(actual))), np.zeros((2, len(GRID)))
    progress.begin("Ranking by class", total=len(rankable), unit="classes")
    for index in rankable.tolist():
        thresholds = Thresholds.of(scores[index], actual == index)
        (roc_auc, roc_gradient), (pr_auc, pr_gradient) = thresholds.roc(), thresholds.pr()
        areas[:, index] = roc_auc, pr_auc
        gradients += np.stack([roc_gradient, pr_gradient]) / len(rankable)
        means += thresholds.on_grid() / len(rankable)
        if index in drawn:
            curves[index] = thresholds.curve(classes[index], roc_auc=roc_auc, pr_auc=pr_auc)
        progress.advance()
    progress.end()
    return Ranking(
        roc_auc=areas[0],
        pr_auc=areas[1],
        roc_gradient=gradients[0],
        pr_gradient=gradients[1],
        curves=tuple(curves[index] for index in drawn),
        mean_curve=_mean_curve(areas[:, rankable], means=means) if len(rankable) else None,
    )


def _to_draw(images: Ints, *, rankable: Ints) -> list[int]:
    """Choose the classes with the most images; of two classes only the second, the positive one."""
    if len(images) == 2:
        return [1] if 1 in rankable else []
    largest_first = np.argsort(-images[rankable], kind="stable")
    return rankable[largest_first[:CURVES]].tolist()


def _mean_curve(areas: Floats, *, means: Floats) -> Curve:
    roc_auc, pr_auc = areas.mean(axis=1).tolist()
    roc, pr = (np.column_stack([GRID, mean]) for mean in means)
    roc = np.vstack([np.zeros(2), roc])
    return Curve(None, roc_auc=roc_auc, pr_auc=pr_auc, roc=roc, pr=pr)
