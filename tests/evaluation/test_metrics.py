"""Every metric against scikit-learn's own."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from drawn import Drawn, draw
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from calotype.evaluation.metrics import METRICS, log_losses, top_k, top_k_hits

tables = st.builds(
    draw,
    rows=st.integers(1, 120),
    classes=st.sampled_from([1, 2, 3, 12]),
    seed=st.integers(0, 2**32 - 1),
    skill=st.sampled_from([0.0, 2.0, 30.0]),
    decimals=st.sampled_from([None, 1, 2]),
    is_missing=st.booleans(),
    strangers=st.just(0),
)


def expected(drawn: Drawn) -> dict[str, float]:
    """Compute with scikit-learn what needs labels only."""
    actual, predicted = drawn.actual, drawn.predicted
    found = {"overall_accuracy": float(sklearn.accuracy_score(actual, predicted))}
    for average in ("micro", "macro", "weighted"):
        given_: dict[str, Any] = {"average": average, "zero_division": 0}
        found[f"{average}_precision"] = sklearn.precision_score(actual, predicted, **given_)
        found[f"{average}_recall"] = sklearn.recall_score(actual, predicted, **given_)
        found[f"{average}_f1"] = sklearn.f1_score(actual, predicted, **given_)
    matrices = sklearn.multilabel_confusion_matrix(actual, predicted)
    accuracies = [(matrix[0, 0] + matrix[1, 1]) / len(actual) for matrix in matrices]
    return found | {"average_accuracy": float(np.mean(accuracies))}


@given(tables)
def test_label_metrics_are_scikit_learns(drawn: Drawn) -> None:
    values = drawn.measure().values
    for name, value in expected(drawn).items():
        assert values[name] == pytest.approx(value, abs=1e-12), name


@given(tables)
def test_log_loss_is_scikit_learns(drawn: Drawn) -> None:
    classes = len(drawn.classes)
    value = drawn.measure().values["log_loss"]
    if classes == 1:
        assert value == pytest.approx(0, abs=1e-6)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rounded probabilities do not sum to one, and it says so
        theirs = sklearn.log_loss(drawn.actual, drawn.scores.T, labels=range(classes))
    assert value == pytest.approx(float(theirs), rel=1e-5)


def test_log_loss_clips_at_the_precision_of_the_scores() -> None:
    for dtype in (np.float32, np.float64):
        scores = np.array([[1.0, 1.0], [0.0, 0.0]], dtype)
        loss = log_losses(scores, actual=np.array([0, 1]))
        eps = float(np.finfo(dtype).eps)
        assert loss == pytest.approx([-math.log(1 - eps), -math.log(eps)])


@given(tables, st.integers(1, 6))
def test_top_k_is_scikit_learns_with_the_lower_index_first(drawn: Drawn, k: int) -> None:
    classes = len(drawn.classes)
    if k >= classes or classes == 2:  # scikit-learn takes two classes for something else
        return
    ours = top_k_hits(drawn.scores, actual=drawn.actual, k=k)
    # It takes the higher index first among equals, so it is shown everything in reverse.
    reverse = classes - 1 - drawn.actual
    theirs = sklearn.top_k_accuracy_score(
        reverse, drawn.scores[::-1].T, k=k, labels=range(classes), normalize=False
    )
    assert ours.sum() == theirs


@given(tables)
def test_top_k_accuracy_is_never_below_accuracy(drawn: Drawn) -> None:
    values = drawn.measure().values
    assert values["top_5_accuracy"] >= values["overall_accuracy"]


def test_k_is_five_or_all_classes() -> None:
    assert [top_k(classes) for classes in (1, 4, 5, 1000)] == [1, 4, 5, 5]
    assert draw(50, 4, skill=0).measure().values["top_5_accuracy"] == 1


def test_every_metric_has_a_value_in_the_order_of_the_table() -> None:
    values = draw(60, 3).measure().values
    assert list(values) == list(METRICS)
    assert all(0 <= value <= METRICS[name].maximum for name, value in values.items())


def test_images_of_unknown_categories_are_mistakes() -> None:
    drawn = draw(100, 4, skill=3, strangers=20)
    values = drawn.measure().values
    known = drawn.rows(np.arange(80)).measure().values
    assert values["overall_accuracy"] == pytest.approx(0.8 * known["overall_accuracy"])
    assert values["top_5_accuracy"] == pytest.approx(0.8)
    assert values["macro_precision"] < known["macro_precision"]
    assert values["macro_recall"] == known["macro_recall"]
    assert values["log_loss"] == pytest.approx(known["log_loss"])
    labels: dict[str, Any] = {"labels": range(4), "average": "macro", "zero_division": 0}
    theirs = sklearn.precision_score(drawn.actual, drawn.predicted, **labels)
    assert values["macro_precision"] == pytest.approx(theirs)


def test_without_any_known_category_some_metrics_have_no_value() -> None:
    values = draw(10, 3, strangers=10).measure().values
    assert values["overall_accuracy"] == 0
    without = {name for name, value in values.items() if math.isnan(value)}
    weighted = {"weighted_precision", "weighted_recall", "weighted_f1"}
    assert without == {"log_loss", "roc_auc", "pr_auc"} | weighted
    assert all(METRICS[name].undefined for name in without)
