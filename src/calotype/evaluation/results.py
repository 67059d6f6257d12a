"""What an evaluation found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from calotype.evaluation.comparison import Comparison
from calotype.evaluation.confusion import Confusion
from calotype.evaluation.document import Document, describe_comparison, describe_set, number
from calotype.evaluation.intervals import Estimate
from calotype.evaluation.metrics import Measurement
from calotype.evaluation.novelty import Novelty
from calotype.scored_dataset import ScoredDataset

REPORT = "report.html"


@dataclass(frozen=True)
class EvaluatedSet:
    """One scored dataset with its metrics.

    Args:
        name: what to call it; the two sets of a comparison have different names.
        dataset: the scored images.
        measurement: the metrics of its labelled rows.
        estimates: each metric with its interval.
        novelty: how novel the images were to the model, if that was scored.
    """

    name: str
    dataset: ScoredDataset
    measurement: Measurement
    estimates: dict[str, Estimate]
    novelty: Novelty | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; both sets of a comparison have them in one order."""
        return self.measurement.outcomes.classes

    @cached_property
    def confusion(self) -> Confusion:
        """Which category was taken for which class."""
        return Confusion.of(self.measurement.outcomes)

    @property
    def rows(self) -> dict[str, int]:
        """How many rows there are of each sort; none is dropped silently."""
        outcomes = self.measurement.outcomes
        total = len(outcomes.is_labelled)
        return {
            "total": total,
            "labelled": outcomes.count,
            "unlabelled": total - outcomes.count,
            "unknown_category": outcomes.count - int(outcomes.is_known.sum()),
            "errors": outcomes.errors,
        }

    @property
    def per_class(self) -> list[dict[str, Any]]:
        """Support, predictions and metrics of each class in index order; None for no value."""
        measured = self.measurement
        counts, ranking = measured.counts, measured.ranking
        columns = {
            "support": counts.actual.astype(int).tolist(),
            "predicted": counts.predicted.astype(int).tolist(),
            "precision": counts.precision.tolist(),
            "recall": counts.recall.tolist(),
            "f1": counts.f1.tolist(),
            "roc_auc": [number(area) for area in ranking.roc_auc.tolist()],
            "pr_auc": [number(area) for area in ranking.pr_auc.tolist()],
        }
        values = zip(*columns.values(), strict=True)
        return [
            {"class": name} | dict(zip(columns, row, strict=True))
            for name, row in zip(self.classes, values, strict=True)
        ]


@dataclass(frozen=True)
class Evaluation:
    """The result of Evaluate Model.

    Args:
        out: the folder with the files.
        sets: the evaluated sets: one, or the left and the right one.
        comparison: how the right one differs from the left one.
        seed: what the resamples were drawn from.
        resamples: how many were drawn.
    """

    out: Path
    sets: tuple[EvaluatedSet, ...]
    comparison: Comparison | None = None
    seed: int = 0
    resamples: int = 1000

    @property
    def report(self) -> Path:
        """The report for people."""
        return self.out / REPORT

    @property
    def document(self) -> Document | list[Document]:
        """The content of `evaluation.json`: one object, or a list of two when comparing."""
        documents = [
            describe_set(evaluated, seed=self.seed, resamples=self.resamples)
            for evaluated in self.sets
        ]
        if self.comparison is None:
            return documents[0]
        documents[1]["comparison"] = describe_comparison(self.comparison)
        return documents
