"""The images worth a look: where the model was sure and wrong, or right by a hair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calotype.evaluation.arrays import Ints
from calotype.evaluation.metrics import Measurement
from calotype.evaluation.outcomes import CATEGORY, SCORED
from calotype.scored_dataset import ID, PATH

MISTAKES = 24
UNSURE = 8


@dataclass(frozen=True)
class Example:
    """One image and what was said about it.

    Args:
        id: the image's id in the scored dataset.
        path: its path there; empty when the table has none.
        category: the true category.
        predicted: the scored label.
        probability: of the scored label, 0-1.
    """

    id: int
    path: str
    category: str
    predicted: str
    probability: float


def confident_mistakes(measured: Measurement, *, limit: int = MISTAKES) -> list[Example]:
    """Return the wrong images with the highest probability, highest first."""
    wrong = np.flatnonzero(~measured.outcomes.is_correct)
    order = np.argsort(-measured.confidence[wrong], kind="stable")
    return _examples(measured, wrong[order[:limit]])


def unsure_hits(measured: Measurement, *, limit: int = UNSURE) -> list[Example]:
    """Return the right images with the lowest probability, lowest first."""
    right = np.flatnonzero(measured.outcomes.is_correct)
    order = np.argsort(measured.confidence[right], kind="stable")
    return _examples(measured, right[order[:limit]])


def _examples(measured: Measurement, rows: Ints) -> list[Example]:
    table = measured.outcomes.rows.select([ID, PATH, CATEGORY, SCORED]).take(rows)
    columns = [
        *(column.to_pylist() for column in table.columns),
        measured.confidence[rows].tolist(),
    ]
    return [Example(*values) for values in zip(*columns, strict=True)]
