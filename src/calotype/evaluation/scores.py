"""Reading the probabilities of a scored dataset, and checking that they are probabilities."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa

from calotype import errors
from calotype.evaluation.arrays import Scores
from calotype.evaluation.outcomes import Outcomes
from calotype.progress import Progress
from calotype.scored_dataset import ScoredDataset
from calotype.tables import RecordBatch


def read_scores(dataset: ScoredDataset, outcomes: Outcomes, *, progress: Progress) -> Scores:
    """Read the probabilities of the labelled rows, shape (classes, rows).

    They keep the precision of the file: float32 of ours takes 200 MB for 50,000 images of 1,000
    classes. One class after the other lies together, as the file has it and ranking needs it.

    Args:
        dataset: the scored images.
        outcomes: the labels of the same images; their classes give the order.
        progress: told about each row.

    Raises:
        InvalidDataset: a probability is missing or outside 0-1.
    """
    columns = [dataset.schema.probability_columns[name] for name in outcomes.classes]
    batches = dataset.batches(columns)
    first = next(batches)
    scores = np.empty((len(columns), outcomes.count), _precision(first, where=str(dataset.path)))
    read = filled = 0
    progress.begin("Reading scores", total=len(outcomes.is_labelled), unit="images")
    for batch in itertools.chain([first], batches):
        kept = outcomes.is_labelled[read : read + batch.num_rows]
        stop = filled + int(kept.sum())
        for index, column in enumerate(batch.columns):
            scores[index, filled:stop] = column.to_numpy(zero_copy_only=False)[kept]
        read, filled = read + batch.num_rows, stop
        progress.advance(batch.num_rows)
    progress.end()
    _check_probabilities(scores, outcomes=outcomes, where=str(dataset.path))
    return scores


def _precision(batch: RecordBatch, *, where: str) -> type[np.floating]:
    for field in batch.schema:
        if not pa.types.is_floating(field.type) and not pa.types.is_integer(field.type):
            raise errors.InvalidDataset(
                f"expected numbers in the column '{field.name}'",
                where=where,
                got=f"the type {field.type}",
                action="Write the probabilities as numbers.",
            )
    return np.float32 if all(field.type == pa.float32() for field in batch.schema) else np.float64


def _check_probabilities(scores: Scores, *, outcomes: Outcomes, where: str) -> None:
    for name, of_class in zip(outcomes.classes, scores, strict=True):
        # Written so that NaN fails too. Rounding may lift a certain 1 above 1 by a hair.
        wrong = np.flatnonzero(~((of_class >= 0) & (of_class <= 1 + 1e-6)))
        if len(wrong):
            row = int(wrong[0])
            raise errors.InvalidDataset(
                f"expected a probability from 0 to 1 of the class '{name}'",
                where=outcomes.place(row, where=where),
                got=f"{of_class[row]}; {len(wrong):,} such rows in all",
                action="Score the images again; if it comes back, the model is damaged.",
            )
