"""The entry script that travels with a model, with its schema and sample requests.

The request form is that of the retired designer's trained image models: a JSON list of rows with an
`image` in base64. Unlike there, label and id may be left out, images may have any size, and a bad
image does not fail its neighbours.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from calotype.images.decode import decode
from calotype.models.image_model import ModelDescription

SCRIPT = "score.py"
SCHEMA = "_schema.json"
SAMPLES = "_samples.json"

_MOST_SAMPLES = 3
_MOST_SAMPLE_BYTES = 64 << 10
_SAMPLE_SIDE = 256  # pixels; of pictures that are shrunk because their files are larger


def files_for(description: ModelDescription, *, samples: Sequence[bytes]) -> dict[str, Path | str]:
    """Return the entry script, the schema and the samples of a model, by file name.

    Args:
        description: the model.
        samples: readable image files to show as requests, large ones shrunk; a gray picture when
            there are none.
    """
    schema = input_schema(description.classes)
    images = [_shrunk(data) for data in samples[:_MOST_SAMPLES]]
    images = images or [_gray_picture(description.input_size)]
    records = [
        {"image": base64.b64encode(data).decode("ascii"), "id": index, "category": None}
        for index, data in enumerate(images)
    ]
    return {
        SCRIPT: Path(__file__).with_name("score.py.txt"),
        SCHEMA: json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
        SAMPLES: json.dumps(records, indent=2) + "\n",
    }


def input_schema(classes: Sequence[str]) -> dict[str, Any]:
    """Return the columns of a request as the designer described them."""
    categories = [{"id": index, "name": name} for index, name in enumerate(classes)]
    return {
        "columnAttributes": [
            _column("image", "Bytes", "bytes", is_feature=True, mime_type="image/png"),
            _column("id", "Numeric", "int64", is_feature=False),
            _column(
                "category",
                "String",
                "str",
                is_feature=False,
                annotation_type="COCO_classification",
                categories=categories,
            ),
        ]
    }


def _column(
    name: str, kind: str, type_name: str, *, is_feature: bool, **properties: object
) -> dict[str, Any]:
    column: dict[str, Any] = {
        "name": name,
        "type": kind,
        "isFeature": is_feature,
        "elementType": {"typeName": type_name, "isNullable": not is_feature},
    }
    return {**column, "properties": properties} if properties else column


def _shrunk(data: bytes) -> bytes:
    """Return a small image file: photographs of megabytes would make a sample that nobody reads."""
    if len(data) <= _MOST_SAMPLE_BYTES:
        return data
    side = (_SAMPLE_SIDE, _SAMPLE_SIDE)
    image = decode(data, at_least=side).image
    image.thumbnail(side)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _gray_picture(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size[1], size[0]), "gray").save(buffer, "PNG")
    return buffer.getvalue()
