"""Reliability bins and calibration error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype.evaluation.calibration import calibrate
from calotype.models.calibration import BINS

rows = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60)


def arrays(pairs: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    confidence, is_correct = zip(*pairs, strict=True)
    return np.array(confidence, np.float32), np.array(is_correct)


@given(rows)
def test_ece_is_the_mean_gap_of_the_bins(pairs: list[tuple[float, bool]]) -> None:
    confidence, is_correct = arrays(pairs)
    ece = 0.0
    for index in range(BINS):
        inside = (confidence.astype(float) * BINS > index) & (
            confidence.astype(float) * BINS <= index + 1
        )
        inside |= (confidence == 0) & (index == 0)
        if inside.any():
            gap = is_correct[inside].mean() - confidence[inside].astype(float).mean()
            ece += inside.mean() * abs(gap)
    assert calibrate(confidence, is_correct=is_correct).ece == pytest.approx(ece, abs=1e-12)


@given(rows)
def test_no_image_is_lost(pairs: list[tuple[float, bool]]) -> None:
    confidence, is_correct = arrays(pairs)
    calibration = calibrate(confidence, is_correct=is_correct)
    assert calibration.images.sum() == len(pairs)
    assert np.isnan(calibration.accuracy).tolist() == (calibration.images == 0).tolist()
    right = np.nansum(calibration.images * calibration.accuracy)
    assert right == pytest.approx(is_correct.sum())


def test_bins_are_closed_at_their_upper_end() -> None:
    confidence = np.array([0.0, 1 / 15, 2 / 15, 1.0])
    calibration = calibrate(confidence, is_correct=np.ones(4, bool))
    assert np.flatnonzero(calibration.images).tolist() == [0, 1, BINS - 1]


def test_a_model_that_is_as_sure_as_right_has_no_error() -> None:
    confidence = np.full(10, 0.8)
    is_correct = np.arange(10) < 8
    assert calibrate(confidence, is_correct=is_correct).ece == pytest.approx(0)
    assert calibrate(confidence, is_correct=~is_correct).ece == pytest.approx(0.6)


def test_the_gradient_is_the_slope_of_the_weighted_error() -> None:
    random = np.random.default_rng(0)
    confidence, is_correct = random.random(200), random.random(200) < 0.5
    bins = np.ceil(confidence * BINS).astype(int) - 1

    def weighted_ece(weights: np.ndarray) -> float:
        gaps = np.bincount(bins, weights * (is_correct - confidence), minlength=BINS)
        return float(np.abs(gaps).sum() / weights.sum())

    calibration = calibrate(confidence, is_correct=is_correct)
    assert calibration.ece == pytest.approx(weighted_ece(np.ones(200)))
    for row in range(0, 200, 17):
        weights = np.ones(200)
        weights[row] += 1e-6
        slope = (weighted_ece(weights) - calibration.ece) / 1e-6
        assert calibration.ece_gradient[row] == pytest.approx(slope, abs=1e-6)
