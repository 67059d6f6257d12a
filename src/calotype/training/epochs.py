"""The metrics of a run's epochs as a Parquet table, one row for each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calotype import errors, files, tables

COLUMNS = {
    "epoch": "int64",
    "learning_rate": "float64",
    "train_loss": "float64",
    "train_error": "float64",
    "validation_loss": "float64",
    "top_1_accuracy": "float64",
    "top_5_accuracy": "float64",
    "train_images_per_s": "float64",
    "elapsed_s": "float64",
}
"""Name and type of each column, by the names of `EpochMetrics`."""


def write_epochs(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write the metrics of the epochs, in their order; an earlier table is replaced at once.

    Args:
        path: of the table.
        rows: the columns of each epoch, and perhaps others, which are left out; values need not be
            finite.

    Raises:
        CannotWrite: the folder cannot be made or written to, or the disk is full.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in COLUMNS.items()])
    columns = [[row[name] for row in rows] for name in COLUMNS]
    table = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )
    with files.aside(path) as temporary:
        pq.write_table(table, temporary)


def read_epochs(path: Path) -> list[dict[str, float]]:
    """Read what `write_epochs` has written.

    Raises:
        UnreadableFile: the file cannot be opened.
        UnparsableFile: it is not such a table.
        ColumnMissing: it lacks a column.
    """
    rows: list[dict[str, Any]] = []
    for batch in tables.read_batches(path, columns=tuple(COLUMNS), types={}):
        rows += batch.to_pylist()
    if not all(isinstance(value, int | float) for row in rows for value in row.values()):
        raise errors.UnparsableFile(
            "expected numbers in every column",
            where=str(path),
            got="something else",
            action="The file is damaged or something else: make it again.",
        )
    return rows
