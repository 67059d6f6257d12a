"""Whether the model is right as often as it says: reliability bins and calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calotype.evaluation.arrays import Bools, Floats, Scores
from calotype.models.calibration import BINS, gaps


@dataclass(frozen=True)
class Calibration:
    """Reliability bins of equal width over the probability of the predicted class.

    Bin `b` holds the rows with a probability in (b / 15, (b + 1) / 15]; 0 falls into the first.

    Args:
        images: rows in each bin, shape (bins,).
        confidence: mean probability in each bin, shape (bins,); NaN in an empty bin.
        accuracy: part of each bin that is right, shape (bins,); NaN in an empty bin.
        ece: expected calibration error, 0-1.
        ece_gradient: gradient of `ece` with respect to the weight of every row, shape (rows,).
    """

    images: Floats
    confidence: Floats
    accuracy: Floats
    ece: float
    ece_gradient: Floats


def calibrate(confidence: Scores, *, is_correct: Bools) -> Calibration:
    """Compute reliability bins and the expected calibration error (ECE).

    ECE is the mean over the rows of |accuracy - confidence| of the row's bin (Guo et al., "On
    Calibration of Modern Neural Networks", 2017, equation 3).

    Its interval comes from the gradient: to resample the ECE itself adds the noise of each bin once
    more, inside an absolute value that never cancels it, so that the interval of a well calibrated
    model would lie wholly above the value it belongs to.

    Args:
        confidence: probability of the predicted class, 0-1, shape (rows,).
        is_correct: whether the prediction is right, shape (rows,).
    """
    confidence = confidence.astype(np.float64)
    bins, gap_sums = gaps(confidence, is_correct)
    images = np.bincount(bins, minlength=BINS).astype(np.float64)
    ece = float(np.abs(gap_sums).sum() / len(confidence))
    with np.errstate(invalid="ignore"):  # 0 / 0 in an empty bin is the NaN that we mean
        mean_confidence = np.bincount(bins, confidence, minlength=BINS) / images
        accuracy = np.bincount(bins, is_correct, minlength=BINS) / images
    return Calibration(
        images=images,
        confidence=mean_confidence,
        accuracy=accuracy,
        ece=ece,
        ece_gradient=(np.sign(gap_sums)[bins] * (is_correct - confidence) - ece) / len(confidence),
    )
