"""What the documents say about requests and answers of an image model, with examples that work."""

from __future__ import annotations

import base64
import binascii
import io
import json
from typing import Any, Final

from PIL import Image

from calotype.errors import CalotypeError
from calotype.images.decode import decode
from calotype.models.entry_script import SAMPLES
from calotype.models.image_model import ImageModel
from calotype.scored_dataset import SCORED_LABELS
from calotype.scoring.scorer import Scores
from calotype.serving.images.answers import EXPLANATION, SCORED_PROBABILITIES
from calotype.serving.openapi.contract import Schema, ServiceContract
from calotype.serving.settings import ServiceSettings

_SAMPLE_SIDE: Final = 64  # pixels: 2 KB, so that the documents stay readable
_CLASSES_SHOWN: Final = 5
# No type: an id is the caller's own, a number or a text.
_ID: Schema = {"description": "Of the caller's choice; comes back with the answer."}


def sample_of(model: ImageModel) -> bytes:
    """Return a small image file to show as a request: the model's own sample, or a gray picture."""
    try:
        records = json.loads(model.file(SAMPLES).read_bytes())
        return _small(base64.b64decode(records[0]["image"]))
    except (CalotypeError, OSError, ValueError, KeyError, IndexError, TypeError, binascii.Error):
        buffer = io.BytesIO()  # models of others have none, or one of another form
        Image.new("RGB", (_SAMPLE_SIDE, _SAMPLE_SIDE), "gray").save(buffer, "JPEG")
        return buffer.getvalue()


def _small(data: bytes) -> bytes:
    picture = decode(data, at_least=(_SAMPLE_SIDE, _SAMPLE_SIDE)).image
    picture.thumbnail((_SAMPLE_SIDE, _SAMPLE_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def contract_of(sample: bytes, scores: Scores, settings: ServiceSettings) -> ServiceContract:
    """Return the contract: rows of images in, one prediction for each out.

    Args:
        sample: an image file for the examples.
        scores: what the model says about it.
        settings: the limits.
    """
    return ServiceContract(input=_input(sample, settings), output=_output(scores))


def _input(sample: bytes, settings: ServiceSettings) -> Schema:
    row: Schema = {
        "type": "object",
        "description": "An image file in base64, or a data URI; the id comes back with the answer.",
        "required": ["image"],
        "properties": {
            "image": {"type": "string", "format": "byte"},
            "id": _ID,
        },
    }
    return {
        "type": "object",
        "required": ["data"],
        "properties": {"data": {"type": "array", "maxItems": settings.max_items, "items": row}},
        "example": {"data": [{"image": base64.b64encode(sample).decode("ascii"), "id": 0}]},
    }


def _output(scores: Scores) -> Schema:
    row = scores.probabilities[0]
    # The digits that orjson writes for float32, too: the fewest that give the number back.
    shown = {
        scores.classes[index]: float(str(row[index]))
        for index in sorted(row.argsort(kind="stable")[::-1][:_CLASSES_SHOWN].tolist())
    }
    error: Schema = {
        "type": "object",
        "description": "Why this image has no prediction; the others are not affected.",
        "properties": {
            "status_code": {"type": "integer", "format": "int32"},
            "message": {"type": "string"},
        },
    }
    properties: dict[str, Any] = {
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
        "error": error,
    }
    return {
        "type": "array",
        "items": {"type": "object", "properties": properties},
        "example": [{SCORED_LABELS: scores.labels[0], SCORED_PROBABILITIES: shown, "id": 0}],
    }
