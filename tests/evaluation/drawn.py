"""Scored images drawn at random: softmax of random logits, as real scores look."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from calotype.evaluation.arrays import Ints, Scores
from calotype.evaluation.metrics import Measurement, measure
from calotype.evaluation.outcomes import Outcomes
from calotype.progress import SILENCE
from calotype.scored_dataset import RUN_FILE, ScoredSchema
from calotype.tables import ArrowTable


@dataclass(frozen=True)
class Drawn:
    """Scored images.

    Args:
        classes: names in index order.
        actual: class index of each image, shape (rows,); `len(classes)` for no class.
        scores: probability of each class for each image, shape (classes, rows).
        predicted: class index of each scored label, shape (rows,).
        unlabelled: rows whose category is not known.
    """

    classes: tuple[str, ...]
    actual: Ints
    scores: Scores
    predicted: Ints
    unlabelled: frozenset[int] = frozenset()

    @property
    def categories(self) -> list[str | None]:
        """The name of each image's category."""
        names = [*self.classes, "stranger"]
        return [
            None if row in self.unlabelled else names[index]
            for row, index in enumerate(self.actual.tolist())
        ]

    @property
    def table(self) -> ArrowTable:
        """The rows as scoring writes them."""
        rows = len(self.actual)
        columns: list[Any] = [pa.array(range(rows), pa.int64())]
        columns += [[f"photos/{row}.jpg" for row in range(rows)], pa.array(self.categories)]
        columns += [pa.array(scores.astype(np.float32)) for scores in self.scores]
        columns.append([self.classes[index] for index in self.predicted])
        schema = ScoredSchema.of(self.classes, has_category=True).arrow_schema()
        return pa.table(columns, schema=schema)

    @property
    def outcomes(self) -> Outcomes:
        """The labels as evaluation reads them."""
        columns = (self.table.column(name) for name in ("id", "path", "category", "Scored Labels"))
        return Outcomes(
            classes=self.classes,
            rows=pa.table(list(columns), names=["id", "path", "category", "scored"]),
            identity=("id", "path"),
            actual=self.actual,
            predicted=self.predicted,
            is_labelled=np.ones(len(self.actual), bool),
            errors=0,
        )

    def measure(self) -> Measurement:
        """Compute the metrics."""
        return measure(self.outcomes, self.scores, progress=SILENCE)

    def rows(self, chosen: Any) -> Drawn:
        """Keep some of the images, in any order, perhaps one several times."""
        scores = np.ascontiguousarray(self.scores[:, chosen])
        return replace(
            self, actual=self.actual[chosen], scores=scores, predicted=self.predicted[chosen]
        )

    def write(self, folder: Path, *, run: dict[str, Any] | None = None) -> Path:
        """Write a scored dataset folder."""
        folder.mkdir(parents=True)
        ScoredSchema.of(self.classes, has_category=True).write(folder)
        pq.write_table(self.table, folder / "scored.parquet")
        content = run or {"status": "complete", "model": {"digest": "0123456789abcdef"}}
        (folder / RUN_FILE).write_text(json.dumps(content))
        return folder


def draw(
    rows: int,
    classes: int | Sequence[str],
    *,
    seed: int = 0,
    skill: float = 2.0,
    decimals: int | None = None,
    is_missing: bool = False,
    strangers: int = 0,
) -> Drawn:
    """Draw scored images.

    Args:
        rows: how many.
        classes: their names, or how many.
        seed: of the random numbers.
        skill: how much the logit of the true class is above the others.
        decimals: round probabilities to so many, to make ties.
        is_missing: no image is of the last class.
        strangers: so many images have a category that is no class.
    """
    random = np.random.default_rng(seed)
    names = [f"class {k:02d}" for k in range(classes)] if isinstance(classes, int) else classes
    count = len(names)
    actual = random.integers(0, count - 1 if is_missing and count > 1 else count, rows)
    logits = random.normal(size=(count, rows))
    logits[actual, np.arange(rows)] += skill
    scores = np.exp(logits) / np.exp(logits).sum(axis=0)
    if decimals is not None:
        scores = scores.round(decimals)
    scores = scores.astype(np.float32)
    actual[rows - strangers :] = count
    return Drawn(tuple(names), actual, scores, predicted=scores.argmax(axis=0))
