"""What a model predicts for its validation images: kept in it, to compare its use with later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from calotype.models.image_model import ModelDescription

CONFIDENCE_BINS: Final = 20
_NAME: Final = "validation_predictions"  # in the part `training` of model.json


@dataclass(frozen=True, slots=True)
class ValidationPredictions:
    """How often each class came out, and how sure the model was.

    Attributes:
        classes: number of images by predicted class, in index order.
        confidence: number of images by the probability of that class, in bins of equal width from
            0 to 1; empty when nobody knows.
    """

    classes: Mapping[str, int]
    confidence: tuple[int, ...] = ()

    @property
    def images(self) -> int:
        """How many there were."""
        return sum(self.classes.values())

    @classmethod
    def of(
        cls, probabilities: NDArray[np.floating], classes: Sequence[str]
    ) -> ValidationPredictions:
        """Count probabilities, shape (images, classes)."""
        predicted = np.bincount(probabilities.argmax(axis=1), minlength=len(classes))
        counts = dict(zip(classes, predicted.tolist(), strict=True))
        return cls(counts, confidence_counts(probabilities.max(axis=1)))

    @classmethod
    def of_description(cls, description: ModelDescription) -> ValidationPredictions | None:
        """Return what a model knows; None when it was finished without."""
        said: Any = description.training.get(_NAME)
        try:
            classes = {name: int(said["classes"].get(name, 0)) for name in description.classes}
            found = cls(classes, tuple(int(count) for count in said["confidence"]))
        except (TypeError, KeyError, ValueError, AttributeError):
            return None
        return found if found.images else None

    def added_to(self, training: Mapping[str, Any]) -> dict[str, Any]:
        """Return the part `training` of a description with this in it."""
        said = {"classes": dict(self.classes), "confidence": list(self.confidence)}
        return {**training, _NAME: said}


def confidence_counts(confidence: NDArray[np.floating]) -> tuple[int, ...]:
    """Return how many of some probabilities lie in each bin."""
    counts, _ = np.histogram(confidence, bins=CONFIDENCE_BINS, range=(0, 1))
    return tuple(counts.tolist())
