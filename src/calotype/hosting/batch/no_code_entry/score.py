"""The batch script for ONNX files and scikit-learn models: rows as lines of JSON in, results out.

A row that the model does not take fails alone: its result is a record with the key `ROW_ERROR`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from calotype.hosting.batch.rows import PREDICTION, ROW_ERROR
from calotype.serving.no_code.sklearn_script import MODEL_FILE
from calotype.serving.refusals import Refusal
from calotype.tables import listed

Score = Callable[[Sequence[Any]], list[Any]]

_score: list[Score] = []


def init() -> None:
    """Load the model.

    Raises:
        ModelError: it cannot be loaded safely, or is no model.
    """
    name = os.environ[MODEL_FILE]
    _score[:] = [_onnx_file(name) if name.lower().endswith(".onnx") else _sklearn_model()]


def run(mini_batch: list[str]) -> list[Any]:
    """Return a result for each line of the files."""
    lines = [line for path in mini_batch for line in Path(path).read_bytes().split(b"\n")]
    rows: list[Any] = []
    bad: dict[int, Any] = {}
    for index, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            bad[index] = _failed(f"Expected a line of JSON: {error}.")
    results = iter(_scored(rows))
    return [bad[index] if index in bad else next(results) for index in range(len(lines))]


def _scored(rows: Sequence[Any]) -> list[Any]:
    """Return a result for each row; halves are tried until who is refused stands alone."""
    if not rows:
        return []
    try:
        return [one if isinstance(one, dict) else {PREDICTION: one} for one in _score[0](rows)]
    except Refusal as refusal:
        if len(rows) == 1:
            columns = f" Its columns: {listed([*rows[0]])}." if isinstance(rows[0], dict) else ""
            return [_failed(refusal.message.removeprefix("Row 0: ") + columns)]
    middle = len(rows) // 2
    return [*_scored(rows[:middle]), *_scored(rows[middle:])]


def _failed(message: str) -> dict[str, str]:
    return {ROW_ERROR: message}


def _onnx_file(name: str) -> Score:
    from calotype.serving.no_code.onnx_rows import OnnxRows

    return OnnxRows(Path(os.environ["AZUREML_MODEL_DIR"], name)).score


def _sklearn_model() -> Score:
    from calotype.serving.no_code.sklearn_model import load_model

    model = load_model()

    def score(rows: Sequence[Any]) -> list[Any]:
        # A table names all of its columns; a model that was fitted without names goes by order.
        values = [
            [*row.values()] if isinstance(row, dict) and model.columns is None else row
            for row in rows
        ]
        results = model.score(values, model.methods[0])
        if "predict_proba" not in model.methods or not _is_flat(model.classes):
            return results
        names = [f"probability_{name}" for name in model.classes]
        shares = model.score(values, "predict_proba")
        return [
            {PREDICTION: result, **dict(zip(names, share, strict=True))}
            for result, share in zip(results, shares, strict=True)
        ]

    return score


def _is_flat(classes: list[Any]) -> bool:
    """Whether there is one label to predict; with several there is a list of classes for each."""
    return bool(classes) and not any(isinstance(one, list) for one in classes)
