"""What cannot be evaluated is refused with its number, before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn import draw

from calotype import errors
from calotype.evaluation import evaluate
from calotype.scored_dataset import SCHEMA_FILE, probability_column
from calotype.tables import ArrowTable


def refusal(left: Path, right: Path | None = None) -> errors.CalotypeError:
    """Evaluate, and return the error after checking that nothing was left behind."""
    before = sorted(left.parent.iterdir())
    with pytest.raises(errors.CallerError) as refused:
        evaluate(left, right, out=left.parent / "out")
    assert sorted(left.parent.iterdir()) == before
    return refused.value


def with_column(name: str, values: Sequence[Any] | ArrowTable) -> ArrowTable:
    """Make a table of four scored images with one column changed."""
    table = draw(4, ["a", "b"]).table
    return table.set_column(table.column_names.index(name), name, pa.array(values))


@pytest.fixture
def save(tmp_path: Path) -> Callable[[ArrowTable], Path]:
    """Give a function that writes a table without any file beside it."""

    def write(table: ArrowTable) -> Path:
        pq.write_table(table, tmp_path / "table.parquet")
        return tmp_path / "table.parquet"

    return write


def test_no_label_column(save: Callable[[ArrowTable], Path]) -> None:
    error = refusal(save(draw(4, 2).table.drop_columns(["category"])))
    assert isinstance(error, errors.NotLabeled)
    assert error.line.startswith("error 0024: ")


@pytest.mark.parametrize("kind", [pa.string(), pa.null()])
def test_no_labelled_row(save: Callable[[ArrowTable], Path], kind: Any) -> None:
    error = refusal(save(with_column("category", pa.nulls(4, kind))))
    assert isinstance(error, errors.NoLabeledRows)
    assert "4 rows without a category" in error.line


def test_no_row_at_all(tmp_path: Path) -> None:
    folder = draw(3, 2).write(tmp_path / "scored")
    (folder / "scored.parquet").unlink()
    assert isinstance(refusal(folder), errors.NoLabeledRows)


@pytest.mark.parametrize("labels", [[0, 1, 0, 1], [0.5] * 4, [True] * 4, [b"a"] * 4])
def test_labels_of_another_type(save: Callable[[ArrowTable], Path], labels: list[Any]) -> None:
    error = refusal(save(with_column("category", labels)))
    assert isinstance(error, errors.LabelsNotComparable)
    assert error.number == 58
    assert "string" in error.got


@pytest.mark.parametrize("label", ["c", None, "A", "a "])
def test_a_scored_label_that_is_no_class(save: Callable[[ArrowTable], Path], label: str) -> None:
    error = refusal(save(with_column("Scored Labels", ["a", label, label, "b"])))
    assert isinstance(error, errors.InvalidDataset)
    assert "photos/1.jpg" in error.where
    assert "2 such rows" in error.got


@pytest.mark.parametrize("value", [float("nan"), -0.001, 1.5, float("inf"), None])
def test_a_probability_that_is_none(
    save: Callable[[ArrowTable], Path], value: float | None
) -> None:
    values = pa.array([0.5, 0.5, value, 0.5], pa.float32())
    error = refusal(save(with_column(probability_column("b"), values)))
    assert isinstance(error, errors.InvalidDataset)
    assert error.number == 18
    assert "class 'b'" in error.expected
    assert "photos/2.jpg" in error.where


def test_probabilities_as_text(save: Callable[[ArrowTable], Path]) -> None:
    error = refusal(save(with_column(probability_column("b"), ["0.5"] * 4)))
    assert isinstance(error, errors.InvalidDataset)
    assert "string" in error.got


def test_a_hair_above_one_is_rounding(save: Callable[[ArrowTable], Path]) -> None:
    values = pa.array(np.full(4, np.nextafter(np.float32(1), np.float32(2))))
    path = save(with_column(probability_column("b"), values))
    evaluate(path, out=path.parent / "out", resamples=5)


@pytest.mark.parametrize("status", ["running", None])
def test_an_unfinished_run(tmp_path: Path, status: str | None) -> None:
    error = refusal(draw(4, 2).write(tmp_path / "scored", run={"status": status, "counts": {}}))
    assert isinstance(error, errors.InvalidDataset)
    assert "--resume" in error.action


def test_another_task(tmp_path: Path) -> None:
    folder = draw(4, 2).write(tmp_path / "scored")
    schema = json.loads((folder / SCHEMA_FILE).read_text()) | {"task": "object_detection"}
    (folder / SCHEMA_FILE).write_text(json.dumps(schema))
    assert isinstance(refusal(folder), errors.TasksDiffer)
    error = refusal(draw(4, 2).write(tmp_path / "other"), folder)
    assert isinstance(error, errors.TasksDiffer)
    assert "'image_classification' and 'object_detection'" in error.got


def test_other_classes(tmp_path: Path) -> None:
    left = draw(4, ["a", "b"]).write(tmp_path / "left")
    right = draw(4, ["a", "c"]).write(tmp_path / "right")
    error = refusal(left, right)
    assert isinstance(error, errors.TasksDiffer)
    assert error.number == 62
    assert "'b', 'c'" in error.got


@pytest.mark.parametrize(("seed", "resamples"), [(-1, 10), (0, 0)])
def test_parameters_out_of_range(tmp_path: Path, seed: int, resamples: int) -> None:
    with pytest.raises(errors.NotGreaterOrEqual):
        evaluate(tmp_path, out=tmp_path / "out", seed=seed, resamples=resamples)


@pytest.mark.parametrize(
    "names", [["thesis.txt"], ["evaluation.json", "thesis.txt"], ["report.html"]]
)
def test_a_folder_of_something_else_is_not_overwritten(tmp_path: Path, names: list[str]) -> None:
    folder = draw(4, 2).write(tmp_path / "scored")
    (tmp_path / "out").mkdir()
    for name in names:
        (tmp_path / "out" / name).write_text("mine")
    assert isinstance(refusal(folder), errors.AlreadyExists)
    assert [(tmp_path / "out" / name).read_text() for name in names] == ["mine"] * len(names)


def test_the_scored_dataset_itself_is_not_overwritten(tmp_path: Path) -> None:
    folder = draw(4, 2).write(tmp_path / "scored")
    with pytest.raises(errors.AlreadyExists):
        evaluate(folder, out=folder)
    assert (folder / "scored.parquet").exists()


def test_a_file_is_not_overwritten(tmp_path: Path) -> None:
    folder = draw(4, 2).write(tmp_path / "scored")
    (tmp_path / "out").write_text("mine")
    assert isinstance(refusal(folder), errors.AlreadyExists)
