"""Whether a model is right as often as it says, and the one number that makes it so.

Temperature scaling, after Guo et al., "On Calibration of Modern Neural Networks", 2017: logits are
divided by one number before the softmax. The order of the classes, and so the label, stays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 15  # as in the tables of Guo et al.

_LEAST, _MOST = 0.05, 20.0  # temperatures; what lies outside is no calibration any more
_HALVINGS = 60
_FEWEST_IMAGES = 10


def gaps(
    confidence: NDArray[np.float64], is_correct: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the reliability bin of each image, and in each bin the sum of right minus confident.

    Bin `b` holds the images with a confidence in (b / 15, (b + 1) / 15]; 0 falls into the first.

    Args:
        confidence: probability of the predicted class, 0-1, shape (images,).
        is_correct: whether the prediction is right, shape (images,).
    """
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    sums = np.bincount(bins, is_correct - confidence, minlength=BINS)
    return bins, sums.astype(np.float64)


def expected_calibration_error(
    confidence: NDArray[np.float64], is_correct: NDArray[np.bool_]
) -> float:
    """Return the mean over the images of |accuracy - confidence| of the image's bin, 0-1.

    Guo et al. 2017, equation 3.
    """
    _, sums = gaps(confidence, is_correct)
    return float(np.abs(sums).sum() / len(confidence))


def fit_temperature(logits: NDArray[np.floating], targets: NDArray[np.int64]) -> float | None:
    """Return the temperature that makes the true classes of images most probable.

    The mean of -ln p is convex in 1 / temperature, so halving finds its minimum. The images count
    as n of n + 1; the last is of every class equally. Otherwise a few images that are all right
    would ask for a temperature of 0 (Platt, "Probabilistic Outputs for Support Vector Machines",
    1999, mends his fit alike).

    Args:
        logits: shape (images, classes).
        targets: index of each image's class, shape (images,).

    Returns:
        From 0.05 to 20; None for fewer than ten images, or logits that are not finite.
    """
    if len(targets) < _FEWEST_IMAGES or not np.isfinite(logits).all():
        return None
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    own = shifted[np.arange(len(targets)), targets]
    smoothing = 1.0 / (len(targets) + 1)
    wanted = float(((1.0 - smoothing) * own + smoothing * shifted.mean(axis=1)).mean())
    cold, hot = np.log(1.0 / _LEAST), np.log(1.0 / _MOST)  # of 1 / temperature
    for _ in range(_HALVINGS):
        middle = (cold + hot) / 2.0
        if _mean_logit(shifted, float(np.exp(middle))) < wanted:
            hot = middle  # not yet as sure as the images allow
        else:
            cold = middle
    return float(np.exp(-(cold + hot) / 2.0))


def _mean_logit(shifted: NDArray[np.float64], inverse_temperature: float) -> float:
    """Return the mean logit that the model expects; it rises with 1 / temperature."""
    exponentials = np.exp(shifted * inverse_temperature)
    return float(((exponentials * shifted).sum(axis=1) / exponentials.sum(axis=1)).mean())
