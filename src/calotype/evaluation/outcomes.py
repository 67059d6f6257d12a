"""Reading the labels of a scored dataset, and refusing what cannot be evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from calotype import errors
from calotype.evaluation.arrays import Bools, Ints
from calotype.scored_dataset import ID, PATH, TASK, ScoredDataset
from calotype.tables import ArrowColumn, ArrowTable, ArrowType, listed

CATEGORY, SCORED = "category", "scored"


@dataclass(frozen=True)
class Outcomes:
    """The labelled rows of a scored dataset, in the order of the table.

    Args:
        classes: the names of the classes in index order.
        rows: columns `id`, `path`, `category` and `scored`. Where the table has no such column,
            the id counts its labelled rows from 0 and the path is empty.
        identity: those of `id` and `path` that the table itself has.
        actual: class index of each row's category, shape (rows,); `len(classes)` for a category
            that is not among the classes.
        predicted: class index of each row's scored label, shape (rows,).
        is_labelled: which of all rows of the table are here, shape (all rows,).
        errors: images that could not be scored.
    """

    classes: tuple[str, ...]
    rows: ArrowTable
    identity: tuple[str, ...]
    actual: Ints
    predicted: Ints
    is_labelled: Bools
    errors: int

    @property
    def count(self) -> int:
        """How many labelled rows there are."""
        return len(self.actual)

    @property
    def is_known(self) -> Bools:
        """Whether each row's category is among the classes, shape (rows,)."""
        return self.actual < len(self.classes)

    @property
    def is_correct(self) -> Bools:
        """Whether each row's scored label is its category, shape (rows,)."""
        return self.actual == self.predicted

    def unknown_categories(self) -> dict[str, int]:
        """Count the images of each category that is not among the classes, most first."""
        names = self.rows.column(CATEGORY).filter(pa.array(~self.is_known))
        counts = [(entry["values"], entry["counts"]) for entry in names.value_counts().to_pylist()]
        return dict(sorted(counts, key=lambda entry: -entry[1]))

    def place(self, row: int, *, where: str) -> str:
        """Name one row so that it can be found: by path, or by id."""
        path = self.rows.column(PATH)[row].as_py()
        return f"{where}, image {path or self.rows.column(ID)[row].as_py()}"


def read_outcomes(dataset: ScoredDataset, *, classes: Sequence[str]) -> Outcomes:
    """Read categories and scored labels of the labelled rows of a scored dataset.

    Args:
        dataset: the scored images.
        classes: the dataset's classes in the order that their indices shall have.

    Raises:
        TasksDiffer: the scores are not those of an image classification.
        NotLabeled: the table has no label column.
        NoLabeledRows: no row has a label.
        LabelsNotComparable: labels and scored labels are of different types.
        InvalidDataset: the run is unfinished, or a scored label is not a class.
    """
    _check_usable(dataset)
    table = _read_labels(dataset)
    is_labelled = table.column(CATEGORY).is_valid()
    rows = table.filter(is_labelled)
    if rows.num_rows == 0:
        raise errors.NoLabeledRows(
            "expected at least one labelled image",
            where=str(dataset.path),
            got=f"{table.num_rows:,} rows without a category",
            action="Score images whose categories are known.",
        )
    outcomes = Outcomes(
        classes=tuple(classes),
        rows=rows,
        identity=_identity(dataset),
        actual=_indices(rows.column(CATEGORY), classes=classes),
        predicted=_indices(rows.column(SCORED), classes=classes),
        is_labelled=is_labelled.to_numpy(),
        errors=dataset.errors().num_rows,
    )
    _check_predicted(outcomes, where=str(dataset.path))
    return outcomes


def _check_usable(dataset: ScoredDataset) -> None:
    where = str(dataset.path)
    if dataset.schema.task != TASK:
        raise errors.TasksDiffer(
            f"expected scores of the task '{TASK}'", where=where, got=f"'{dataset.schema.task}'"
        )
    if dataset.run and not dataset.is_complete:
        raise errors.InvalidDataset(
            "expected a finished scoring run",
            where=where,
            got=f"one with the status '{dataset.run.get('status', 'unknown')}'",
            action="Finish it first: run the same `calotype score` command with --resume.",
        )
    if dataset.schema.label_column is None:
        raise errors.NotLabeled(
            "expected a column with the true category of each image",
            where=where,
            got=listed(dataset.columns),
            action="Score images that lie in one folder per category.",
        )


def _read_labels(dataset: ScoredDataset) -> ArrowTable:
    """Read id, path, category and scored label of all rows, under these names."""
    schema = dataset.schema
    identity = _identity(dataset)
    columns = [*identity, str(schema.label_column), schema.scored_label_column]
    batches = list(dataset.batches(columns))
    if not batches:  # a run without any readable image
        table = schema.arrow_schema().empty_table().select(columns)
    else:
        table = pa.Table.from_batches(batches)
    category, scored = (table.column(name) for name in columns[-2:])
    _check_comparable(category.type, scored.type, where=str(dataset.path))
    rows = table.num_rows
    return pa.table(
        {
            ID: table.column(ID) if ID in identity else pa.array(range(rows), pa.int64()),
            PATH: table.column(PATH) if PATH in identity else pa.array([""] * rows, pa.string()),
            CATEGORY: category.cast(pa.string()),
            SCORED: scored.cast(pa.string()),
        }
    )


def _identity(dataset: ScoredDataset) -> tuple[str, ...]:
    return tuple(column for column in (ID, PATH) if column in dataset.columns)


def _check_comparable(category: ArrowType, scored: ArrowType, *, where: str) -> None:
    if pa.types.is_null(category):
        return  # nothing but missing values: the check for labelled rows has the better words
    if _kind(category) != _kind(scored) or _kind(category) == "other":
        raise errors.LabelsNotComparable(
            "expected categories and scored labels of one type, text",
            where=where,
            got=f"categories of type {category} and scored labels of type {scored}",
            action="Write both columns as text, spelled alike.",
        )


def _kind(arrow_type: ArrowType) -> str:
    if pa.types.is_dictionary(arrow_type):
        return _kind(arrow_type.value_type)
    if pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type):
        return "text"
    return "integer" if pa.types.is_integer(arrow_type) else "other"


def _indices(names: ArrowColumn, *, classes: Sequence[str]) -> Ints:
    """Return the index of each name, and `len(classes)` for a name that is not a class."""
    index_in = pc.index_in  # pyright: ignore[reportAttributeAccessIssue] - made at import
    found = index_in(names, value_set=pa.array(list(classes), pa.string()))
    return found.fill_null(len(classes)).to_numpy().astype(np.int64)


def _check_predicted(outcomes: Outcomes, *, where: str) -> None:
    strange = np.flatnonzero(outcomes.predicted == len(outcomes.classes))
    if len(strange):
        row = int(strange[0])
        raise errors.InvalidDataset(
            "expected a scored label that is one of the classes",
            where=outcomes.place(row, where=where),
            got=f"{outcomes.rows.column(SCORED)[row].as_py()!r}, not in "
            f"{listed(outcomes.classes)}; {len(strange):,} such rows in all",
            action="Score the images again: the table was changed after it was written.",
        )
