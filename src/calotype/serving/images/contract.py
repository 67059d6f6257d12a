"""What the documents say about requests and answers of an image model, with examples that work."""

from __future__ import annotations

import base64
from typing import Any, Final

from calotype.scored_dataset import SCORED_LABELS
from calotype.scoring.scorer import Scores
from calotype.serving.images.answers import EXPLANATION, SCORED_PROBABILITIES
from calotype.serving.openapi.contract import BodyForm, QueryParameter, Schema, ServiceContract
from calotype.serving.settings import ServiceSettings

_CLASSES_SHOWN: Final = 5
_BYTES: Schema = {"type": "string", "format": "binary"}
_IMAGE: Schema = {"type": "string", "description": "The file in base64, or a data URI of it."}
# No type: an id is the caller's own, a number or a text.
_ID: Schema = {"description": "Of the caller's choice; comes back with the answer."}
_QUERY: Final = (
    QueryParameter(
        "top",
        {"type": "integer", "format": "int32", "minimum": 1},
        "How many of the best classes to give probabilities for.",
    ),
    QueryParameter("explain", {"type": "boolean"}, "Add a heat map of what decided."),
)


def contract_of(sample: bytes, scores: Scores, settings: ServiceSettings) -> ServiceContract:
    """Return the contract: rows of images in, one prediction for each out; and the other forms.

    Args:
        sample: an image file for the examples.
        scores: what the model says about it.
        settings: the limits.
    """
    image = base64.b64encode(sample).decode("ascii")
    rows = _list_of(_object({"image": _IMAGE, "id": _ID}, required=("image",)), settings)
    row = {"image": image, "id": 0}
    item, prediction = _prediction(), _example(scores)
    predictions: Schema = {"type": "array", "items": item}
    return ServiceContract(
        input=_object({"data": rows}, {"data": [row]}),
        output={**predictions, "example": [{**prediction, "id": 0}]},
        description="One item comes back for each image, in order; an image that cannot be scored "
        "gives an item with 'error' in its place.",
        is_described=True,
        query=_QUERY,
        forms=(
            _texts(image, settings),
            _designer(rows, row, predictions, {**prediction, "id": 0}),
            *_files({**item, "example": prediction}),
            _form(),
        ),
    )


def _prediction() -> Schema:
    failed = _object(
        {"status_code": {"type": "integer", "format": "int32"}, "message": {"type": "string"}}
    )
    failed["description"] = "Why this image has no prediction; the others are not affected."
    properties: dict[str, Schema] = {
        SCORED_LABELS: {"type": "string", "description": "The most probable class."},
        SCORED_PROBABILITIES: {
            "type": "object",
            "description": "The probability of each class; with ?top=K of the K most probable.",
            "additionalProperties": {"type": "number", "format": "float"},
        },
        EXPLANATION: {
            "type": "string",
            "description": "With ?explain=true: the heat map, a PNG as a data URI.",
        },
        "id": _ID,
        "file": {"type": "string", "description": "The name of the file, if it came in a form."},
        "error": failed,
    }
    return {"type": "object", "properties": properties}


def _example(scores: Scores) -> dict[str, Any]:
    row = scores.probabilities[0]
    # The digits that orjson writes for float32, too: the fewest that give the number back.
    shown = {
        scores.classes[index]: float(str(row[index]))
        for index in sorted(row.argsort(kind="stable")[::-1][:_CLASSES_SHOWN].tolist())
    }
    return {SCORED_LABELS: scores.labels[0], SCORED_PROBABILITIES: shown}


def _texts(image: str, settings: ServiceSettings) -> BodyForm:
    schema = _object({"data": _list_of(_IMAGE, settings)}, {"data": [image]})
    description = '{"data": [image, ...]}, images without ids as base64 or data URI.'
    return BodyForm("ImageTextsInput", "application/json", schema, description)


def _designer(
    rows: Schema, row: dict[str, Any], predictions: Schema, prediction: dict[str, Any]
) -> BodyForm:
    takes = _object(
        {"Inputs": _object({"WebServiceInput0": rows}), "GlobalParameters": {"type": "object"}},
        {"Inputs": {"WebServiceInput0": [row]}, "GlobalParameters": {}},
        required=("Inputs",),
    )
    gives = _object(
        {"Results": _object({"WebServiceOutput0": predictions})},
        {"Results": {"WebServiceOutput0": [prediction]}},
    )
    description = (
        '{"Inputs": {"WebServiceInput0": [{"image": ...}]}, "GlobalParameters": {}} gives '
        '{"Results": {"WebServiceOutput0": [...]}}.'
    )
    return BodyForm("DesignerInput", "application/json", takes, description, gives)


def _files(prediction: Schema) -> tuple[BodyForm, ...]:
    description = "the bytes of one image file; one object comes back."
    return (
        BodyForm("ImageBytesInput", "application/octet-stream", _BYTES, description, prediction),
        BodyForm("ImageFileInput", "image/*", _BYTES, description),
    )


def _form() -> BodyForm:
    schema = _object({"file": {"type": "array", "items": _BYTES}})
    description = "one or more image files; a list comes back."
    return BodyForm("ImageFilesInput", "multipart/form-data", schema, description)


def _list_of(items: Schema, settings: ServiceSettings) -> Schema:
    return {"type": "array", "maxItems": settings.max_items, "items": items}


def _object(
    properties: dict[str, Schema], example: Any = None, *, required: tuple[str, ...] = ()
) -> Schema:
    names = [*(required or properties)]
    schema: Schema = {"type": "object", "required": names, "properties": properties}
    return schema if example is None else {**schema, "example": example}
