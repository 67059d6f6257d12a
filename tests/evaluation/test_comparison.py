"""Two sets side by side: pairs, McNemar's test, intervals of differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn import Drawn, draw
from scipy import stats

from calotype.evaluation.comparison import Comparison, compare, match, mcnemar
from calotype.evaluation.intervals import draw_weights, resample


def compared(left: Drawn, right: Drawn, *, is_paired: bool) -> Comparison:
    one, two = left.measure(), right.measure()
    first = resample(one, draw_weights(len(left.actual), resamples=400, seed=0))
    stream = 0 if is_paired else 1
    weights = draw_weights(len(right.actual), resamples=400, seed=0, stream=stream)
    second = resample(two, weights)
    matching = match(one.outcomes, two.outcomes)
    return compare([one, two], [first, second], matching=matching)


def with_hits(drawn: Drawn, is_correct: np.ndarray) -> Drawn:
    """Let the scored labels be right exactly where wanted."""
    wrong = (drawn.actual + 1) % len(drawn.classes)
    return replace(drawn, predicted=np.where(is_correct, drawn.actual, wrong))


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 6), (5, 5), (3, 21), (12, 13), (40, 9), (30, 30)])
def test_mcnemar_is_that_of_the_textbook(b: int, c: int) -> None:
    base = draw(100, 3)
    rows = np.arange(100)
    left = with_hits(base, (rows < b) | (rows >= b + c)).measure()
    right = with_hits(base, rows >= b).measure()
    test = mcnemar(left, right, matching=match(left.outcomes, right.outcomes))
    assert (test.only_left_correct, test.only_right_correct) == (b, c)
    if b + c == 0:
        assert test.p_value == 1
    elif b + c < 25:
        assert test.p_value == pytest.approx(stats.binomtest(b, b + c).pvalue)
        assert "exact" in test.method
    else:
        statistic = max(0, abs(b - c) - 1) ** 2 / (b + c)
        assert test.p_value == pytest.approx(stats.chi2.sf(statistic, 1))
        assert "continuity" in test.method


def test_a_set_does_not_differ_from_itself() -> None:
    drawn = draw(200, 4)
    comparison = compared(drawn, drawn, is_paired=True)
    assert comparison.matching.is_complete
    assert all(each.value == each.low == each.high == 0 for each in comparison.differences.values())


def test_differences_are_right_minus_left() -> None:
    left, right = draw(300, 4, skill=1), draw(300, 4, skill=3)
    differences = compared(left, right, is_paired=True).differences
    assert differences["overall_accuracy"].low > 0
    assert differences["log_loss"].high < 0
    expected = right.measure().values["macro_f1"] - left.measure().values["macro_f1"]
    assert differences["macro_f1"].value == pytest.approx(expected)


def test_pairs_make_the_interval_narrower() -> None:
    left = draw(500, 4, skill=1)
    # Nearly the same model: it differs in 20 of 500 images.
    changed = np.where(np.arange(500) < 20, left.actual, left.predicted)
    right = replace(left, predicted=changed)
    width: list[float] = []
    for is_paired in (True, False):
        found = compared(left, right, is_paired=is_paired).differences["overall_accuracy"]
        width.append(found.high - found.low)
    assert width[0] < 0.6 * width[1]


def test_images_are_matched_in_any_order() -> None:
    drawn = draw(30, 3).outcomes
    shuffled = np.random.default_rng(0).permutation(30)
    other = replace(drawn, rows=drawn.rows.take(shuffled), actual=drawn.actual[shuffled])
    matching = match(drawn, other)
    assert matching.is_complete
    assert (matching.left == shuffled[matching.right]).all()


def test_partly_the_same_images_are_counted() -> None:
    left, right = draw(30, 3).outcomes, draw(30, 3).rows(np.arange(20)).outcomes
    matching = match(left, right)
    assert not matching.is_complete
    assert (len(matching.left), matching.only_left, matching.only_right) == (20, 10, 0)
    assert matching.reason == ""


def test_an_image_with_another_category_is_not_the_same() -> None:
    left = draw(10, 3)
    right = replace(left, actual=(left.actual + 1) % 3)
    matching = match(left.outcomes, right.outcomes)
    assert len(matching.left) == 0
    assert "no image is in both sets" in matching.reason


def test_tables_without_names_of_images_cannot_be_matched() -> None:
    drawn = draw(10, 3).outcomes
    assert "by id and path" in match(drawn, replace(drawn, identity=("id",))).reason
    assert "by id and path" in match(*[replace(drawn, identity=())] * 2).reason
    assert match(*[replace(drawn, identity=("id",))] * 2).is_complete


def test_an_image_that_stands_there_twice_cannot_be_matched() -> None:
    drawn = draw(10, 3).outcomes
    twice = replace(drawn, rows=drawn.rows.take([0, *range(9)]))
    assert "twice" in match(drawn, twice).reason
