"""The entry script for scikit-learn models: `{"data": rows}` in, predictions out.

Rows are lists of values, or records by column name. `"method"` may ask for `predict_proba` (in
the order of the model's classes), `decision_function` or `transform` instead of `predict`.
"""

from __future__ import annotations

import os
from typing import Any

from calotype.serving.json_body import json_object
from calotype.serving.no_code.sklearn_model import SklearnModel, load_model
from calotype.serving.no_code.sklearn_script import MAX_JSON_DEPTH
from calotype.serving.openapi.contract import Schema, ServiceContract
from calotype.serving.openapi.script_contract import described_by
from calotype.serving.refusals import bad_request

_served: list[SklearnModel] = []


def init() -> None:
    """Load the model.

    Raises:
        ModelError: it cannot be loaded safely, or is no model.
    """
    _served[:] = [load_model()]


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
    body = json_object(raw_data.encode(), max_depth=_max_json_depth())
    if "data" not in body:
        raise bad_request("A value is not provided for the 'data' parameter.")
    rows, method = body["data"], body.get("method", served.methods[0])
    if type(rows) is not list or not rows:
        raise bad_request("'data': expected a list of rows with at least one.")
    if method not in served.methods:
        raise bad_request(f"'method': expected one of {', '.join(served.methods)}.")
    return served.score(rows, method)


def _max_json_depth() -> int:
    return int(os.environ.get(MAX_JSON_DEPTH, "64"))
