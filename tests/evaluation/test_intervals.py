"""The bootstrap: reproducible, honest, and centred on the value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from drawn import Drawn, draw
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from calotype.evaluation.intervals import Estimate, draw_weights, estimates, resample
from calotype.evaluation.metrics import METRICS


def intervals(drawn: Drawn, *, resamples: int = 1000, seed: int = 0) -> dict[str, Estimate]:
    measured = drawn.measure()
    weights = draw_weights(len(drawn.actual), resamples=resamples, seed=seed)
    return estimates(measured.values, resample(measured, weights))


def test_the_same_seed_gives_the_same_intervals_and_another_gives_others() -> None:
    drawn = draw(200, 5)
    assert intervals(drawn, seed=7) == intervals(drawn, seed=7)
    assert intervals(drawn, seed=7)["macro_f1"] != intervals(drawn, seed=8)["macro_f1"]


def test_streams_of_one_seed_are_independent() -> None:
    first, second = (next(draw_weights(500, resamples=1, seed=1, stream=k)) for k in (0, 1))
    assert first.sum() == second.sum() == 500
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15


@given(
    st.builds(
        draw,
        rows=st.integers(1, 60),
        classes=st.sampled_from([1, 2, 12]),
        seed=st.integers(0, 10**6),
        decimals=st.sampled_from([None, 1]),
        strangers=st.sampled_from([0, 1]),
    )
)
@settings(max_examples=40)
def test_intervals_hold_their_value_and_stay_in_range(drawn: Drawn) -> None:
    for name, estimate in intervals(drawn, resamples=100).items():
        if math.isnan(estimate.value):
            assert math.isnan(estimate.low)
            continue
        assert 0 <= estimate.low <= estimate.value <= estimate.high, name
        assert estimate.high <= max(METRICS[name].maximum, estimate.value), name


def test_many_small_classes_do_not_push_the_interval_off_its_value() -> None:
    macro_f1 = intervals(draw(1000, 200, skill=2))["macro_f1"]
    assert macro_f1.low < macro_f1.value - 0.01
    assert macro_f1.high > macro_f1.value + 0.01


def test_the_interval_of_accuracy_is_as_wide_as_theory_has_it() -> None:
    drawn = draw(2000, 4, skill=1)
    accuracy = intervals(drawn)["overall_accuracy"]
    deviation = math.sqrt(accuracy.value * (1 - accuracy.value) / 2000)
    assert (accuracy.high - accuracy.low) / 2 == pytest.approx(1.96 * deviation, rel=0.1)


@pytest.mark.parametrize("name", ["roc_auc", "pr_auc"])
def test_first_order_intervals_agree_with_ranking_every_resample_anew(name: str) -> None:
    drawn = draw(400, 3, skill=1)
    one_hot = np.eye(3)[drawn.actual]
    score = {"roc_auc": sklearn.roc_auc_score, "pr_auc": sklearn.average_precision_score}[name]
    random = np.random.default_rng(3)
    values: list[float] = []
    for _ in range(300):
        rows = random.integers(0, 400, 400)
        values.append(float(score(one_hot[rows], drawn.scores.T[rows], average="macro")))
    low, high = np.quantile(values, [0.025, 0.975])
    estimate = intervals(drawn)[name]
    assert estimate.high - estimate.low == pytest.approx(high - low, rel=0.2)
    assert estimate.low == pytest.approx(low, abs=0.2 * (high - low))


def test_resamples_are_the_metrics_of_the_rows_that_were_drawn() -> None:
    drawn = draw(50, 3, strangers=5)
    (weights,) = draw_weights(50, resamples=1, seed=4)
    resampled = resample(drawn.measure(), [weights])
    again = drawn.rows(np.repeat(np.arange(50), weights.astype(int))).measure().values
    for name in METRICS.keys() - {"roc_auc", "pr_auc", "ece"}:
        assert resampled[name][0] == pytest.approx(again[name]), name


def test_intervals_shrink_with_the_root_of_the_rows() -> None:
    few, many = (intervals(draw(rows, 8, skill=1)) for rows in (400, 6400))
    for name in METRICS:
        ratio = (few[name].high - few[name].low) / (many[name].high - many[name].low)
        assert ratio == pytest.approx(4, rel=0.35), name
