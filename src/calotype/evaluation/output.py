"""Writing the files of an evaluation."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from calotype import errors, files
from calotype.evaluation.confusion import Confusion
from calotype.evaluation.metrics import METRICS
from calotype.evaluation.report import render
from calotype.evaluation.results import REPORT, EvaluatedSet, Evaluation
from calotype.evaluation.thumbnails import Thumbnails
from calotype.tables import ArrowTable

EVALUATION = "evaluation.json"
METRICS_TABLE = "metrics.parquet"
_SIDES = ("", "_right")  # what follows the names of the tables of the left and of the right set


def check_free(out: Path) -> None:
    """Refuse a place that holds something else than an earlier evaluation.

    Raises:
        AlreadyExists: there is a file at `out`, or a folder with files that are not ours.
    """
    if not out.exists():
        return
    names = {path.name for path in out.iterdir()} if out.is_dir() else set[str]()
    strangers = sorted(names - _our_names())
    if out.is_dir() and not strangers and (EVALUATION in names or not names):
        return
    raise errors.AlreadyExists(
        "expected a new folder, or one with an earlier evaluation",
        where=str(out),
        got=f"a folder with {strangers[0]}" if strangers else "something else",
        action="Choose another folder for --out.",
    )


def _our_names() -> set[str]:
    tables = {
        f"{table}{side}.csv" for table in ("confusion_matrix", "per_class") for side in _SIDES
    }
    return {EVALUATION, METRICS_TABLE, REPORT} | tables


def write(evaluation: Evaluation, folder: Path, *, thumbnails: Thumbnails | None) -> None:
    """Write all files of an evaluation into an empty folder."""
    files.write_json(folder / EVALUATION, evaluation.document)
    pq.write_table(_metrics_table(evaluation.sets), folder / METRICS_TABLE)
    for evaluated, side in zip(evaluation.sets, _SIDES, strict=False):
        matrix = _confusion_rows(evaluated.confusion)
        _write_csv(folder / f"confusion_matrix{side}.csv", matrix)
        _write_csv(folder / f"per_class{side}.csv", _per_class_rows(evaluated))
    report = render(evaluation, thumbnails=thumbnails)
    (folder / REPORT).write_text(report, encoding="utf-8")


def _metrics_table(sets: Iterable[EvaluatedSet]) -> ArrowTable:
    """Make one row per set, the left one first: its name and the value of each metric."""
    columns = [("name", pa.string()), *((name, pa.float64()) for name in METRICS)]
    rows = [
        {"name": evaluated.name}
        | {
            name: None if math.isnan(estimate.value) else estimate.value
            for name, estimate in evaluated.estimates.items()
        }
        for evaluated in sets
    ]
    return pa.Table.from_pylist(rows, pa.schema(columns))


def _confusion_rows(confusion: Confusion) -> Iterable[list[object]]:
    """Yield the heading, then for each category its images by predicted class."""
    yield ["actual", *confusion.classes]
    for index, name in enumerate(confusion.row_names):
        yield [name, *confusion.row(index).tolist()]


def _per_class_rows(evaluated: EvaluatedSet) -> Iterable[list[object]]:
    yield list(evaluated.per_class[0])
    for row in evaluated.per_class:
        yield ["" if value is None else value for value in row.values()]


def _write_csv(path: Path, rows: Iterable[list[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
