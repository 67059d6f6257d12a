"""The entry script for scikit-learn models: `{"data": rows}` in, predictions out.

Rows are lists of values, or records by column name. `"method"` may ask for `predict_proba` (in
the order of the model's classes), `decision_function` or `transform` instead of `predict`.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from calotype import errors
from calotype.serving.json_body import json_object
from calotype.serving.no_code.sklearn_script import (
    ALLOW_PICKLE,
    MAX_JSON_DEPTH,
    MODEL_FILE,
    PICKLE_SUFFIXES,
    SAFE_SUFFIX,
)
from calotype.serving.openapi.contract import Schema, ServiceContract
from calotype.serving.openapi.schemas import plain
from calotype.serving.openapi.script_contract import described_by
from calotype.serving.refusals import Refusal, bad_request

_METHODS = ("predict", "predict_proba", "decision_function", "transform")


class _Served:
    """A model, and what is known about its rows."""

    def __init__(self, model: Any) -> None:
        self.methods = tuple(name for name in _METHODS if callable(getattr(model, name, None)))
        if not self.methods:
            raise errors.InvalidModel(
                f"expected a model with one of {', '.join(_METHODS)}", got=type(model).__name__
            )
        self.model = model
        names = getattr(model, "feature_names_in_", None)
        self.columns: list[str] | None = None if names is None else [str(one) for one in names]
        self.width: int | None = getattr(model, "n_features_in_", None)
        self.classes: list[Any] = _plain(getattr(model, "classes_", []))
        self.max_json_depth = int(os.environ.get(MAX_JSON_DEPTH, "64"))

    def score(self, rows: list[Any], method: str) -> Any:
        return _plain(getattr(self.model, method)(self._table(rows)))

    def _table(self, rows: list[Any]) -> Any:
        """Return the rows as the model was fitted: a data frame where it knows names."""
        import numpy as np

        values = [self._values(index, row) for index, row in enumerate(rows)]
        if self.columns is not None:
            import pandas

            return pandas.DataFrame(values, columns=self.columns)
        numeric = all(type(one) in (int, float, bool, type(None)) for row in values for one in row)
        # None becomes NaN; what is not numeric is for the model's own encoders.
        return np.array(values, dtype=np.float64 if numeric else object)

    def _values(self, index: int, row: Any) -> list[Any]:
        if type(row) is dict:
            if self.columns is None:
                raise bad_request(f"Row {index}: expected a list; the model knows no column names.")
            missing = [name for name in self.columns if name not in row]
            if missing:
                raise bad_request(f"Row {index}: expected the column '{missing[0]}', got none.")
            row = [row[name] for name in self.columns]
        if type(row) is not list:
            raise bad_request(f"Row {index}: expected a list of values or a record by column name.")
        width = self.width if self.columns is None else len(self.columns)
        if width is not None and len(row) != width:
            raise bad_request(f"Row {index}: expected {width} values, got {len(row)}.")
        for value in row:
            if type(value) in (list, dict):
                raise bad_request(f"Row {index}: expected single values, got a list or an object.")
        return row


_served: list[_Served] = []


def init() -> None:
    """Load the model.

    Raises:
        ModelError: it cannot be loaded safely, or is no model.
    """
    folder = Path(os.environ["AZUREML_MODEL_DIR"])
    path = folder / os.environ[MODEL_FILE] if MODEL_FILE in os.environ else _only(folder)
    load = _load_safely if path.suffix.lower() == SAFE_SUFFIX else _load_pickle
    _served[:] = [_Served(load(path))]


def _contract() -> ServiceContract:
    served = _served[0]
    width = served.width or 1
    if served.columns is None:
        row: Schema = {"type": "array", "items": {}}
        example: Any = [0.0] * width
    else:
        row = {
            "type": "object",
            "properties": {name: {} for name in served.columns},
            "required": served.columns,
        }
        example = dict.fromkeys(served.columns, 0.0)
    method: Schema = {"type": "string", "enum": [*served.methods]}
    properties = {"data": {"type": "array", "items": row}, "method": method}
    of_classes = f" Classes, in order: {served.classes}." if served.classes else ""
    return ServiceContract(
        input={
            "type": "object",
            "properties": properties,
            "required": ["data"],
            "example": {"data": [example]},
        },
        output={"type": "array", "items": {}},
        is_described=True,
        description=f"One prediction comes back for each row.{of_classes}",
    )


@described_by(_contract)
def run(raw_data: str) -> Any:
    """Return what the model makes of the rows.

    Raises:
        Refusal: 400, the body or a row is not of the form that is expected; 422, the model does not
            take the values.
    """
    served = _served[0]
    body = json_object(raw_data.encode(), max_depth=served.max_json_depth)
    if "data" not in body:
        raise bad_request("A value is not provided for the 'data' parameter.")
    rows, method = body["data"], body.get("method", served.methods[0])
    if type(rows) is not list or not rows:
        raise bad_request("'data': expected a list of rows with at least one.")
    if method not in served.methods:
        raise bad_request(f"'method': expected one of {', '.join(served.methods)}.")
    try:
        return served.score(rows, method)
    except (ValueError, TypeError, OverflowError) as error:
        # What scikit-learn and numpy raise for values they cannot use; the text speaks of columns
        # and types.
        raise Refusal(422, f"The model cannot use these values: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return plain((str(error).splitlines() or [""])[0][:300])


def _load_safely(path: Path) -> Any:
    try:
        import skops.io
    except ImportError:
        raise errors.MissingDependency(
            "expected the package skops",
            where=path.name,
            got="none",
            action="Install it: pip install 'calotype[sklearn]'.",
        ) from None
    unknown = skops.io.get_untrusted_types(file=path)
    if unknown:
        raise errors.InvalidModel(
            "expected a model of types that are known to be safe",
            where=path.name,
            got=", ".join(sorted(unknown)[:5]),
            action="Serve a model with types of your own by an entry script, which may trust them.",
        )
    return skops.io.load(path, trusted=[])


def _load_pickle(path: Path) -> Any:
    if os.environ.get(ALLOW_PICKLE) != "1":
        raise errors.InvalidModel(
            f"expected a model in a {SAFE_SUFFIX} file",
            where=path.name,
            got="pickle",
            action="Start the service with --allow-pickle if you made the file yourself.",
        )
    import joblib

    return joblib.load(path)


def _only(folder: Path) -> Path:
    known = (SAFE_SUFFIX, *PICKLE_SUFFIXES)
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in known]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise errors.InvalidModel("expected one model", where="AZUREML_MODEL_DIR", got=names)
    return found[0]


def _plain(value: Any) -> Any:
    """Return lists of what JSON knows; what is no number becomes None."""
    if hasattr(value, "toarray"):  # sparse, from transformers
        value = value.toarray()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
