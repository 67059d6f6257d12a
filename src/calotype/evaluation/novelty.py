"""Whether the scored images are like those that the model knows, and whether it errs on others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from calotype import errors
from calotype.evaluation.arrays import Floats
from calotype.evaluation.outcomes import Outcomes
from calotype.evaluation.ranking import Thresholds
from calotype.scored_dataset import ScoredDataset


@dataclass(frozen=True)
class Novelty:
    """The column `Novelty` of a scored dataset in a few numbers.

    Args:
        images: rows of the table, labelled or not.
        median: 0-1; near 0.5 for images like the validation images of the model.
        above_95: part of the images above 0.95, about 0.05 for such images.
        above_99: part of the images above 0.99, about 0.01 for such images.
        mistakes_auc: chance that a labelled image which the model names wrongly is more novel
            than one that it names rightly; None when there are none of either.
    """

    images: int
    median: float
    above_95: float
    above_99: float
    mistakes_auc: float | None


def read_novelty(dataset: ScoredDataset, outcomes: Outcomes) -> Novelty | None:
    """Read and summarise novelty; None when the table has no such column.

    Raises:
        InvalidDataset: a value is missing or outside 0-1.
    """
    if dataset.schema.novelty_column is None:
        return None
    values = _values(dataset, dataset.schema.novelty_column)
    is_wrong = ~outcomes.is_correct
    has_both = bool(is_wrong.any() and not is_wrong.all())
    area = Thresholds.of(values[outcomes.is_labelled], is_wrong).roc()[0] if has_both else None
    return Novelty(
        images=len(values),
        median=float(np.median(values)),
        above_95=float((values > 0.95).mean()),
        above_99=float((values > 0.99).mean()),
        mistakes_auc=area,
    )


def _values(dataset: ScoredDataset, column: str) -> Floats:
    parts = [batch.column(0) for batch in dataset.batches([column])]
    joined = pa.chunked_array(parts)
    is_number = pa.types.is_floating(joined.type) or pa.types.is_integer(joined.type)
    values = joined.to_numpy().astype(np.float64) if is_number else np.array([np.nan])
    if not ((values >= 0) & (values <= 1)).all():  # written so that NaN fails too
        raise errors.InvalidDataset(
            f"expected numbers from 0 to 1 in the column '{column}'",
            where=str(dataset.path),
            got="others, or none" if is_number else f"the type {joined.type}",
            action="Score the images again with --novelty.",
        )
    return values
