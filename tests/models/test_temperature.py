"""Temperature: the convex fit, and that it mends what it is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype.models.calibration import expected_calibration_error, fit_temperature
from calotype.scoring.scorer import softmax


def drawn(images: int, classes: int, *, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw logits whose softmax is right, times `sharpness`, and classes from that softmax."""
    random = np.random.default_rng(4)
    logits = random.normal(0, 2, (images, classes))
    targets = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    return (sharpness * logits).astype(np.float32), targets


def loss(logits: np.ndarray, targets: np.ndarray, temperature: float) -> float:
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    logs = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    return -logs[np.arange(len(targets)), targets].mean()


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_it_undoes_a_wrong_sharpness(sharpness: float) -> None:
    logits, targets = drawn(20_000, 5, sharpness=sharpness)
    assert fit_temperature(logits, targets) == pytest.approx(sharpness, rel=0.03)


def test_it_is_the_least_loss() -> None:
    logits, targets = drawn(3000, 4, sharpness=3.0)
    temperature = fit_temperature(logits, targets)
    assert temperature is not None
    losses = [loss(logits, targets, factor * temperature) for factor in (0.98, 1.0, 1.02)]
    assert losses[1] == min(losses)


def test_the_calibration_error_falls_on_other_images_too() -> None:
    logits, targets = drawn(4000, 6, sharpness=3.0)
    temperature = fit_temperature(logits[:2000], targets[:2000])
    assert temperature is not None

    def error(temperature: float) -> float:
        probabilities = softmax(logits[2000:], temperature=temperature)
        is_correct = probabilities.argmax(axis=1) == targets[2000:]
        return expected_calibration_error(probabilities.max(axis=1).astype(np.float64), is_correct)

    assert error(1.0) > 0.1
    assert error(temperature) < 0.04


@given(st.integers(10, 40), st.floats(0.1, 50))
def test_a_few_images_that_are_all_right_do_not_make_it_certain(images: int, gap: float) -> None:
    targets = np.arange(images) % 3
    logits = np.zeros((images, 3), np.float32)
    logits[np.arange(images), targets] = gap
    temperature = fit_temperature(logits, targets)
    assert temperature is not None
    assert 0.05 <= temperature <= 20
    if gap / temperature > 0.3 and temperature < 19.9:  # the bounds were not reached
        assert softmax(logits, temperature=temperature).max() < 1 - 0.5 / (images + 1)


def test_too_few_or_broken_images_give_none() -> None:
    logits, targets = drawn(9, 3, sharpness=1.0)
    assert fit_temperature(logits, targets) is None
    logits, targets = drawn(30, 3, sharpness=1.0)
    logits[4, 1] = np.nan
    assert fit_temperature(logits, targets) is None


@given(st.floats(0.05, 20), st.integers(0, 100))
def test_the_order_of_the_classes_stays(temperature: float, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 5, (20, 7)).astype(np.float32)
    labels = softmax(logits).argmax(axis=1).tolist()
    assert softmax(logits, temperature=temperature).argmax(axis=1).tolist() == labels


def test_a_temperature_of_one_changes_no_bit() -> None:
    logits = np.random.default_rng(0).normal(0, 5, (50, 9)).astype(np.float32)
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    expected = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    assert softmax(logits).tobytes() == expected.astype(np.float32).tobytes()
