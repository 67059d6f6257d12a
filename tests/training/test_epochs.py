"""The table of epochs: typed, whole, and read as it was written."""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from calotype import errors
from calotype.training.epochs import COLUMNS, read_epochs, write_epochs
from calotype.training.outcome import EpochMetrics

ROWS = [
    asdict(EpochMetrics(epoch, 0.001, 1.5, 0.5, 1.25, 0.75, 1, 90.5, 12))  # ints become floats
    for epoch in (1, 2)
]


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "epochs.parquet"
    write_epochs(path, ROWS)
    assert read_epochs(path) == ROWS
    assert [one.name for one in path.parent.iterdir()] == ["epochs.parquet"]


def test_every_metric_of_an_epoch_has_a_typed_column(tmp_path: Path) -> None:
    assert {field.name for field in fields(EpochMetrics)} >= set(COLUMNS)
    write_epochs(tmp_path / "epochs.parquet", ROWS)
    schema = pq.read_schema(tmp_path / "epochs.parquet")
    assert {field.name: "double" for field in schema} | {"epoch": "int64"} == {
        field.name: str(field.type) for field in schema
    }


def test_an_earlier_table_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "epochs.parquet"
    for count in (2, 0, 1):
        write_epochs(path, ROWS[:count])
        assert read_epochs(path) == ROWS[:count]


def test_values_need_not_be_finite(tmp_path: Path) -> None:
    path = tmp_path / "epochs.parquet"
    write_epochs(path, [{**ROWS[0], "train_loss": math.nan, "validation_loss": math.inf}])
    (row,) = read_epochs(path)
    assert math.isnan(row["train_loss"])
    assert row["validation_loss"] == math.inf


def test_a_row_without_a_metric_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "epochs.parquet"
    write_epochs(path, ROWS)
    with pytest.raises(KeyError, match="train_loss"):
        write_epochs(path, [{name: 1.0 for name in COLUMNS if name != "train_loss"}])
    assert read_epochs(path) == ROWS


def test_other_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "epochs.parquet"
    with pytest.raises(errors.UnreadableFile):
        read_epochs(path)
    path.write_bytes(b"no table")
    with pytest.raises(errors.UnparsableFile):
        read_epochs(path)
    pq.write_table(pa.table({"epoch": [1]}), path)
    with pytest.raises(errors.ColumnMissing):
        read_epochs(path)
    pq.write_table(pa.table({name: ["one"] for name in COLUMNS}), path)
    with pytest.raises(errors.UnparsableFile, match="numbers"):
        read_epochs(path)
