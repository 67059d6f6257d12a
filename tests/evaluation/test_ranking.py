"""Areas under curves against scikit-learn, and their gradients against small changes of weights."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import Drawn, draw
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from calotype.evaluation.ranking import CURVES, Thresholds, rank
from calotype.progress import SILENCE

binary = st.builds(
    draw,
    rows=st.integers(2, 80),
    classes=st.just(2),
    seed=st.integers(0, 2**32 - 1),
    skill=st.sampled_from([0.0, 1.0, 30.0]),
    decimals=st.sampled_from([None, 1]),
)


def thresholds_of(drawn: Drawn) -> Thresholds:
    is_positive = drawn.actual == 1
    assume(0 < is_positive.sum() < len(is_positive))
    return Thresholds.of(drawn.scores[1], is_positive)


@given(binary)
def test_areas_are_scikit_learns(drawn: Drawn) -> None:
    thresholds = thresholds_of(drawn)
    arguments = drawn.actual == 1, drawn.scores[1]
    assert thresholds.roc()[0] == pytest.approx(sklearn.roc_auc_score(*arguments), abs=1e-12)
    assert thresholds.pr()[0] == pytest.approx(sklearn.average_precision_score(*arguments))


@given(binary, st.integers(0, 10**6))
def test_gradients_are_the_slopes_of_weighted_areas(drawn: Drawn, row: int) -> None:
    thresholds = thresholds_of(drawn)
    row %= len(drawn.actual)
    step = 1e-6
    weights = np.ones(len(drawn.actual))
    weights[row] += step
    arguments = drawn.actual == 1, drawn.scores[1].astype(np.float64)
    for (area, gradient), score in (
        (thresholds.roc(), sklearn.roc_auc_score),
        (thresholds.pr(), sklearn.average_precision_score),
    ):
        changed = float(score(*arguments, sample_weight=weights))
        assert gradient[row] == pytest.approx((changed - area) / step, abs=1e-4)
        assert gradient.sum() == pytest.approx(0, abs=1e-9)  # doubling all weights changes nothing


@given(binary)
def test_curves_pass_through_scikit_learns_points(drawn: Drawn) -> None:
    thresholds = thresholds_of(drawn)
    curve = thresholds.curve("x", roc_auc=0, pr_auc=0)
    x, y, _ = sklearn.roc_curve(drawn.actual == 1, drawn.scores[1])
    assert sklearn.auc(*curve.roc.T) == pytest.approx(sklearn.auc(x, y), abs=1e-12)
    precision, recall, _ = sklearn.precision_recall_curve(drawn.actual == 1, drawn.scores[1])
    theirs = {(round(r, 9), round(p, 9)) for r, p in zip(recall, precision, strict=True)}
    assert {(round(r, 9), round(p, 9)) for r, p in curve.pr.tolist()} <= theirs


def test_long_curves_are_thinned_without_losing_their_area_or_ends() -> None:
    drawn = draw(20_000, 2, skill=1)
    thresholds = Thresholds.of(drawn.scores[1], drawn.actual == 1)
    area, _ = thresholds.roc()
    curve = thresholds.curve("x", roc_auc=area, pr_auc=0)
    assert len(curve.roc) <= 101
    assert sklearn.auc(*curve.roc.T) == pytest.approx(area, abs=1e-3)
    assert curve.roc[0].tolist() == [0, 0]
    assert curve.roc[-1].tolist() == [1, 1]


def test_means_are_scikit_learns_one_against_the_rest() -> None:
    drawn = draw(600, 12, decimals=3)
    ranking = rank(drawn.scores, actual=drawn.actual, classes=drawn.classes, progress=SILENCE)
    one_hot = np.eye(12)[drawn.actual]
    each = [sklearn.roc_auc_score(one_hot[:, k], drawn.scores[k]) for k in range(12)]
    assert ranking.roc_auc == pytest.approx(each)
    assert ranking.mean_curve is not None
    assert ranking.mean_curve.roc_auc == pytest.approx(np.mean(each))
    mean = sklearn.average_precision_score(one_hot, drawn.scores.T, average="macro")
    assert ranking.mean_curve.pr_auc == pytest.approx(mean)


def test_the_mean_curve_is_the_mean_of_the_curves() -> None:
    drawn = draw(300, 3)
    ranking = rank(drawn.scores, actual=drawn.actual, classes=drawn.classes, progress=SILENCE)
    assert ranking.mean_curve is not None
    rates = [sklearn.roc_curve(drawn.actual == k, drawn.scores[k])[:2] for k in range(3)]
    grid = ranking.mean_curve.roc[1:, 0]
    mean = np.mean([np.interp(grid, x, y) for x, y in rates], axis=0)
    assert ranking.mean_curve.roc[1:, 1] == pytest.approx(mean)


def test_a_class_without_images_takes_no_part() -> None:
    drawn = draw(200, 4, is_missing=True)
    ranking = rank(drawn.scores, actual=drawn.actual, classes=drawn.classes, progress=SILENCE)
    assert np.isnan(ranking.roc_auc).tolist() == [False, False, False, True]
    assert ranking.mean_curve is not None
    assert ranking.mean_curve.roc_auc == pytest.approx(np.nanmean(ranking.roc_auc))
    assert ranking.mean_curve.roc[-1] == pytest.approx([1, 1])


def test_images_of_unknown_categories_belong_to_the_rest() -> None:
    drawn = draw(200, 3, strangers=50)
    ranking = rank(drawn.scores, actual=drawn.actual, classes=drawn.classes, progress=SILENCE)
    theirs = sklearn.roc_auc_score(drawn.actual == 1, drawn.scores[1])
    assert ranking.roc_auc[1] == pytest.approx(theirs)


def test_the_largest_classes_are_drawn_and_of_two_the_second() -> None:
    drawn = draw(500, 12)
    drawn.actual[:200] = 7
    ranking = rank(drawn.scores, actual=drawn.actual, classes=drawn.classes, progress=SILENCE)
    assert len(ranking.curves) == CURVES
    assert ranking.curves[0].name == "class 07"
    drawn = draw(50, ["no", "yes"])
    ranking = rank(drawn.scores, actual=drawn.actual, classes=drawn.classes, progress=SILENCE)
    assert [curve.name for curve in ranking.curves] == ["yes"]


def test_one_class_cannot_be_ranked() -> None:
    drawn = draw(20, 1)
    ranking = rank(drawn.scores, actual=drawn.actual, classes=drawn.classes, progress=SILENCE)
    assert ranking.curves == ()
    assert ranking.mean_curve is None
