"""Which category was taken for which class, and how often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calotype.evaluation.arrays import Ints
from calotype.evaluation.outcomes import Outcomes

# The row of images whose category is not among the model's classes.
UNKNOWN = "(not a class of the model)"
MAX_DRAWN = 30  # classes; a larger table no longer fits on a page


@dataclass(frozen=True)
class Confusion:
    """The pairs of category and predicted class that occur, with their number of images.

    Only these are kept: most of the 1,000,000 cells of 1,000 classes are empty.

    Args:
        classes: names in index order.
        has_unknown: whether there are images of a category that is no class.
        actual: class index of each pair, `len(classes)` for no class, shape (pairs,), ascending.
        predicted: class index of each pair, shape (pairs,).
        images: how many images each pair has, shape (pairs,).
    """

    classes: tuple[str, ...]
    has_unknown: bool
    actual: Ints
    predicted: Ints
    images: Ints

    @classmethod
    def of(cls, outcomes: Outcomes) -> Confusion:
        """Count the pairs."""
        size = len(outcomes.classes)
        pairs, images = np.unique(outcomes.actual * size + outcomes.predicted, return_counts=True)
        has_unknown = not bool(outcomes.is_known.all())
        return cls(outcomes.classes, has_unknown, pairs // size, pairs % size, images)

    @property
    def row_names(self) -> tuple[str, ...]:
        """The names of the rows: the classes, then `UNKNOWN` if there are such images."""
        return (*self.classes, UNKNOWN) if self.has_unknown else self.classes

    def row(self, actual: int) -> Ints:
        """Return the images of one category by predicted class, shape (classes,)."""
        start, stop = np.searchsorted(self.actual, [actual, actual + 1])
        row = np.zeros(len(self.classes), np.int64)
        row[self.predicted[start:stop]] = self.images[start:stop]
        return row

    def most_confused(self, *, limit: int = 30) -> list[tuple[str, str, int]]:
        """Return category, predicted class and images of the most frequent mistakes."""
        mistakes = np.flatnonzero(self.actual != self.predicted)
        worst = mistakes[np.argsort(-self.images[mistakes], kind="stable")][:limit]
        names = self.row_names
        return [
            (names[self.actual[pair]], self.classes[self.predicted[pair]], int(self.images[pair]))
            for pair in worst
        ]
