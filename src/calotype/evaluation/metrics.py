"""The metrics of one scored dataset: what they are called, what they mean, their values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from calotype.evaluation.arrays import Bools, Floats, Ints, Scores
from calotype.evaluation.calibration import Calibration, calibrate
from calotype.evaluation.counts import Counts, count_metrics
from calotype.evaluation.outcomes import Outcomes
from calotype.evaluation.ranking import Ranking, rank
from calotype.progress import Progress


@dataclass(frozen=True)
class Metric:
    """One number about a model, not below 0.

    Args:
        title: its name for people; `{k}` stands for the k of top-k.
        meaning: what it says, as one sentence.
        is_better_high: whether more is better.
        maximum: no value is higher.
        undefined: why it may have no value.
    """

    title: str
    meaning: str
    is_better_high: bool = True
    maximum: float = 1.0
    undefined: str = ""


_NO_KNOWN = "no labelled image has a category that the model knows"
_NO_RANKING = "no class has both images of its own and images of others"

METRICS = {
    "overall_accuracy": Metric("Accuracy", "Part of the images that were named rightly."),
    "top_5_accuracy": Metric(
        "Top-{k} accuracy", "Part of the images whose category is among the {k} best guesses."
    ),
    "macro_precision": Metric(
        "Macro precision", "Part of the guesses that is right, mean over the classes."
    ),
    "macro_recall": Metric(
        "Macro recall", "Part of the images that was found, mean over the classes."
    ),
    "macro_f1": Metric("Macro F1", "Harmonic mean of precision and recall, mean over the classes."),
    "weighted_precision": Metric(
        "Weighted precision", "As macro, large classes counting more.", undefined=_NO_KNOWN
    ),
    "weighted_recall": Metric(
        "Weighted recall", "As macro, large classes counting more.", undefined=_NO_KNOWN
    ),
    "weighted_f1": Metric(
        "Weighted F1", "As macro, large classes counting more.", undefined=_NO_KNOWN
    ),
    "micro_precision": Metric("Micro precision", "Right guesses among all guesses."),
    "micro_recall": Metric("Micro recall", "Right guesses among all images of known classes."),
    "micro_f1": Metric("Micro F1", "Harmonic mean of the two."),
    "average_accuracy": Metric(
        "Average accuracy", "(TP + TN) / all of one class against the rest, mean over the classes."
    ),
    "roc_auc": Metric(
        "ROC AUC",
        "Chance that an image of a class gets more of its probability than another, mean over the "
        "classes.",
        undefined=_NO_RANKING,
    ),
    "pr_auc": Metric("PR AUC", "Average precision, mean over the classes.", undefined=_NO_RANKING),
    "log_loss": Metric(
        "Log loss",
        "Mean of -ln of the true category's probability, in nats.",
        is_better_high=False,
        maximum=math.inf,
        undefined=_NO_KNOWN,
    ),
    "ece": Metric(
        "Calibration error",
        "How far probabilities are from the part that is right, on average (ECE).",
        is_better_high=False,
    ),
}


def top_k(classes: int) -> int:
    """Return the k of top-k accuracy: 5, or all classes when there are fewer."""
    return min(5, classes)


@dataclass(frozen=True)
class Measurement:
    """The metrics of one scored dataset, and per row what their intervals are computed from.

    Args:
        outcomes: categories and scored labels of the rows.
        confidence: probability of each row's scored label, 0-1, shape (rows,).
        loss: -ln of the true category's probability, 0 for rows of no class, shape (rows,).
        is_hit: whether the category is among the k most probable classes, shape (rows,).
        counts: hits, images and predictions of each class.
        ranking: ROC and precision-recall.
        calibration: reliability bins.
        values: each of `METRICS`; NaN where it has no value.
    """

    outcomes: Outcomes
    confidence: Scores
    loss: Floats
    is_hit: Bools
    counts: Counts
    ranking: Ranking
    calibration: Calibration
    values: dict[str, float]


def measure(outcomes: Outcomes, scores: Scores, *, progress: Progress) -> Measurement:
    """Compute all metrics of one scored dataset.

    Images of a category that is no class are mistakes for accuracy, top-k and calibration, belong
    to "the rest" for ROC and precision-recall, and are left out of the log loss, which would be
    infinite: the model could not give their category any probability.

    Args:
        outcomes: categories and scored labels.
        scores: probability of each class for each row, shape (classes, rows).
        progress: told about each class.
    """
    classes, actual = outcomes.classes, outcomes.actual
    counts = _count(outcomes)
    confidence = scores[outcomes.predicted, np.arange(outcomes.count)]
    loss = log_losses(scores, actual=actual)
    is_hit = top_k_hits(scores, actual=actual, k=top_k(len(classes)))
    ranking = rank(scores, actual=actual, classes=classes, progress=progress)
    calibration = calibrate(confidence, is_correct=outcomes.is_correct)
    known = int(outcomes.is_known.sum())
    values = {name: float(value) for name, value in count_metrics(counts).items()} | {
        "top_5_accuracy": float(is_hit.mean()),
        "log_loss": float(loss.sum() / known) if known else np.nan,
        "roc_auc": ranking.mean_curve.roc_auc if ranking.mean_curve else np.nan,
        "pr_auc": ranking.mean_curve.pr_auc if ranking.mean_curve else np.nan,
        "ece": calibration.ece,
    }
    return Measurement(
        outcomes=outcomes,
        confidence=confidence,
        loss=loss,
        is_hit=is_hit,
        counts=counts,
        ranking=ranking,
        calibration=calibration,
        values={name: values[name] for name in METRICS},
    )


def _count(outcomes: Outcomes) -> Counts:
    size = len(outcomes.classes) + 1  # the last is for categories that are no class
    hits, actual, predicted = (
        np.bincount(rows, minlength=size)[:-1].astype(np.float64)
        for rows in (
            outcomes.actual[outcomes.is_correct],
            outcomes.actual,
            outcomes.predicted,
        )
    )
    rows = np.asarray(outcomes.count, np.float64)
    return Counts(hits=hits, actual=actual, predicted=predicted, rows=rows)


def log_losses(scores: Scores, *, actual: Ints) -> Floats:
    """Return -ln of the probability of each row's category, 0 for a row of no class.

    Probabilities are clipped to [eps, 1 - eps] of their own precision first, as scikit-learn's
    `log_loss` does: one image that was thought impossible must not make the mean infinite.

    Args:
        scores: probability of each class for each row, shape (classes, rows).
        actual: class index of each row, `len(scores)` for no class, shape (rows,).
    """
    known = np.flatnonzero(actual < len(scores))
    eps = np.finfo(scores.dtype).eps
    loss = np.zeros(len(actual))
    loss[known] = -np.log(scores[actual[known], known].clip(eps, 1 - eps).astype(np.float64))
    return loss


def top_k_hits(scores: Scores, *, actual: Ints, k: int) -> Bools:
    """Return whether each row's category is among the `k` most probable classes, shape (rows,).

    Among equal probabilities the lower index comes first, as `argmax` chooses the scored label, so
    that top-k accuracy is never below accuracy. (scikit-learn takes the higher index first.)

    Args:
        scores: probability of each class for each row, shape (classes, rows).
        actual: class index of each row, `len(scores)` for no class, shape (rows,).
        k: how many of the best classes count, 1 <= k <= classes.
    """
    rows = np.arange(len(actual))
    is_known = actual < len(scores)
    own = scores[np.where(is_known, actual, 0), rows]
    before = np.zeros(len(actual), np.int64)
    for index, other in enumerate(scores):
        before += (other > own) | ((other == own) & (index < actual))
    return is_known & (before < k)
