"""The contract of every image service; only the classes differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calotype.serving.openapi.contract import BodyForm, QueryParameter, Schema, ServiceContract

# A PNG of one grey pixel: small, and scored like any other image.
_EXAMPLE_IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
_MAX_EXAMPLE_CLASSES = 5

_BYTES: Schema = {"type": "string", "format": "binary"}
_ID: Schema = {"type": "string", "description": "Comes back with the prediction."}
_IMAGE: Schema = {"type": "string", "description": "The file in base64, or a data URI of it."}


def image_contract(classes: Sequence[str]) -> ServiceContract:
    """Return the contract of a service for a model of these classes, in index order."""
    rows: Schema = {"type": "array", "items": _row()}
    row = {"image": _EXAMPLE_IMAGE, "id": "1"}
    predictions = {"type": "array", "items": _prediction()}
    prediction = _example(classes)
    return ServiceContract(
        input=_object({"data": rows}, {"data": [row]}),
        output={**predictions, "example": [{**prediction, "id": "1"}]},
        description="One item comes back for each image, in order; an image that cannot be scored "
        "gives an item with 'error' in its place.",
        is_described=True,
        query=_query(len(classes)),
        forms=(
            _texts(),
            _designer(rows, row, predictions, prediction),
            *_binary(prediction),
            _multipart(),
        ),
    )


def _row() -> Schema:
    properties = {"image": _IMAGE, "id": _ID}
    return {"type": "object", "properties": properties, "required": ["image"]}


def _prediction() -> Schema:
    numbers: Schema = {"type": "number", "format": "float"}
    failed = {
        "type": "object",
        "properties": {
            "status_code": {"type": "integer", "format": "int32"},
            "message": {"type": "string"},
        },
        "required": ["status_code", "message"],
    }
    properties: dict[str, Schema] = {
        "Scored Labels": {"type": "string"},
        "Scored Probabilities": {"type": "object", "additionalProperties": numbers},
        "Heat Map": {"type": "string", "description": "A PNG as data URI, when explain is true."},
        "id": {"type": "string"},
        "error": failed,
    }
    return {"type": "object", "properties": properties}


def _example(classes: Sequence[str]) -> dict[str, Any]:
    named = list(classes[:_MAX_EXAMPLE_CLASSES])
    probabilities = dict.fromkeys(named, 0.0) | ({named[0]: 1.0} if named else {})
    return {"Scored Labels": named[0] if named else "", "Scored Probabilities": probabilities}


def _query(classes: int) -> tuple[QueryParameter, ...]:
    top: Schema = {"type": "integer", "format": "int32", "minimum": 1, "maximum": max(classes, 1)}
    return (
        QueryParameter("top", top, "How many of the best classes to give probabilities for."),
        QueryParameter("explain", {"type": "boolean"}, "Add a heat map of what decided."),
    )


def _texts() -> BodyForm:
    texts = {"type": "array", "items": _IMAGE}
    schema = _object({"data": texts}, {"data": [_EXAMPLE_IMAGE]})
    description = '{"data": [image, ...]}, images without ids as base64 or data URI.'
    return BodyForm("ImageTextsInput", "application/json", schema, description)


def _designer(
    rows: Schema, row: dict[str, Any], predictions: Schema, prediction: dict[str, Any]
) -> BodyForm:
    named = _object({"WebServiceInput0": rows})
    takes = _object(
        {"Inputs": named, "GlobalParameters": {"type": "object"}},
        {"Inputs": {"WebServiceInput0": [row]}, "GlobalParameters": {}},
    )
    takes["required"] = ["Inputs"]
    gives = _object(
        {"Results": _object({"WebServiceOutput0": predictions})},
        {"Results": {"WebServiceOutput0": [{**prediction, "id": "1"}]}},
    )
    description = (
        '{"Inputs": {"WebServiceInput0": [{"image": ...}]}, "GlobalParameters": {}} gives '
        '{"Results": {"WebServiceOutput0": [...]}}.'
    )
    return BodyForm("DesignerInput", "application/json", takes, description, gives)


def _binary(prediction: dict[str, Any]) -> tuple[BodyForm, ...]:
    one = {**_prediction(), "example": prediction}
    description = "the bytes of one image file; one object comes back."
    return (
        BodyForm("ImageBytesInput", "application/octet-stream", _BYTES, description, one),
        BodyForm("ImageFileInput", "image/*", _BYTES, description),
    )


def _multipart() -> BodyForm:
    schema = _object({"file": {"type": "array", "items": _BYTES}})
    description = "one or more image files; a list comes back."
    return BodyForm("ImageFilesInput", "multipart/form-data", schema, description)


def _object(properties: dict[str, Schema], example: Any = None) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "required": [*properties]}
    return schema if example is None else {**schema, "example": example}
