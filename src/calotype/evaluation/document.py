"""How `evaluation.json` says what an evaluation found."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from calotype.evaluation.comparison import Comparison
from calotype.evaluation.confusion import MAX_DRAWN, Confusion
from calotype.evaluation.intervals import CONFIDENCE, Estimate
from calotype.evaluation.metrics import METRICS, Measurement, top_k
from calotype.evaluation.ranking import Curve
from calotype.models.calibration import BINS

if TYPE_CHECKING:
    from calotype.evaluation.results import EvaluatedSet

FORMAT_VERSION = 1
_METHOD = (
    "bootstrap percentiles over the rows, centred on the value; "
    "roc_auc, pr_auc and ece to first order"
)

Document = dict[str, Any]


def describe_set(evaluated: EvaluatedSet, *, seed: int, resamples: int) -> Document:
    """Return the document of one evaluated set."""
    dataset, measured = evaluated.dataset, evaluated.measurement
    return {
        "format_version": FORMAT_VERSION,
        "name": evaluated.name,
        "scored_dataset": str(dataset.path),
        "task": dataset.schema.task,
        "model": dataset.run.get("model"),
        "classes": list(evaluated.classes),
        "rows": evaluated.rows,
        "unknown_categories": dict(list(measured.outcomes.unknown_categories().items())[:30]),
        **{name: _estimate(estimate, name) for name, estimate in evaluated.estimates.items()},
        "top_k": top_k(len(evaluated.classes)),
        "intervals": {
            "confidence": CONFIDENCE,
            "method": _METHOD,
            "resamples": resamples,
            "seed": seed,
        },
        "per_class": evaluated.per_class,
        "confusion_matrix": _confusion_matrix(evaluated.confusion),
        "most_confused": [
            {"category": category, "predicted": predicted, "images": images}
            for category, predicted, images in evaluated.confusion.most_confused()
        ],
        "calibration": _calibration(measured),
        "novelty": evaluated.novelty and asdict(evaluated.novelty),
        "binary": _binary(measured),
        "curves": _curves(measured),
    }


def _estimate(estimate: Estimate, name: str) -> Document:
    values = (estimate.value, estimate.low, estimate.high)
    found: Document = dict(zip(("value", "low", "high"), map(number, values), strict=True))
    if found["value"] is None:
        found["reason"] = METRICS[name].undefined
    return found


def number(value: float) -> float | None:
    """Return a float as JSON knows it: NaN, which stands for no value, becomes None."""
    return None if math.isnan(value) else value


def _confusion_matrix(confusion: Confusion) -> Document | None:
    """Return the counts of few classes; those of many are in `confusion_matrix.csv` alone."""
    if len(confusion.classes) > MAX_DRAWN:
        return None
    rows = range(len(confusion.row_names))
    return {
        "actual": list(confusion.row_names),
        "predicted": list(confusion.classes),
        "images": [confusion.row(row).tolist() for row in rows],
    }


def _calibration(measured: Measurement) -> list[Document]:
    bins = measured.calibration
    columns = (bins.images, bins.confidence, bins.accuracy)
    return [
        {"low": index / BINS, "high": (index + 1) / BINS, "images": int(images)}
        | {"confidence": number(confidence), "accuracy": number(accuracy)}
        for index, (images, confidence, accuracy) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    ]


def _binary(measured: Measurement) -> Document | None:
    """Return the view of two classes in which the second, of index 1, is the positive one.

    That is scikit-learn's order, too: of classes in the order of their names the second is the
    one that `predict_proba(...)[:, 1]` is about.
    """
    classes, counts = measured.outcomes.classes, measured.counts
    if len(classes) != 2:
        return None
    hits, actual, predicted = (
        int(values[1]) for values in (counts.hits, counts.actual, counts.predicted)
    )
    return {
        "positive_class": classes[1],
        "true_positive": hits,
        "false_positive": predicted - hits,
        "false_negative": actual - hits,
        "true_negative": measured.outcomes.count - actual - predicted + hits,
        "precision": float(counts.precision[1]),
        "recall": float(counts.recall[1]),
        "f1": float(counts.f1[1]),
        "roc_auc": number(float(measured.ranking.roc_auc[1])),
        "pr_auc": number(float(measured.ranking.pr_auc[1])),
    }


def _curves(measured: Measurement) -> list[Document]:
    """Return the curves of the largest classes, and their mean over all classes as class null."""
    ranking = measured.ranking
    curves = list(ranking.curves)
    if ranking.mean_curve is not None and len(measured.outcomes.classes) > 2:
        curves.append(ranking.mean_curve)
    return [_curve(curve) for curve in curves]


def _curve(curve: Curve) -> Document:
    return {
        "class": curve.name,
        "roc_auc": curve.roc_auc,
        "pr_auc": curve.pr_auc,
        "roc": {
            "false_positive_rate": curve.roc[:, 0].tolist(),
            "recall": curve.roc[:, 1].tolist(),
        },
        "pr": {"recall": curve.pr[:, 0].tolist(), "precision": curve.pr[:, 1].tolist()},
    }


def describe_comparison(comparison: Comparison) -> Document:
    """Return how the right set differs from the left one."""
    matching, test = comparison.matching, comparison.mcnemar
    return {
        "paired": matching.is_complete,
        "images": {
            "both": len(matching.left),
            "only_left": matching.only_left,
            "only_right": matching.only_right,
        },
        "reason": matching.reason or None,
        "mcnemar": test
        and {
            "only_left_correct": test.only_left_correct,
            "only_right_correct": test.only_right_correct,
            "p_value": test.p_value,
            "method": test.method,
        },
        "differences": {
            name: _estimate(difference, name) for name, difference in comparison.differences.items()
        },
    }
