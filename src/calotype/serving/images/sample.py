"""A small image to show as a request in the documents of a model."""

from __future__ import annotations

import base64
import binascii
import io
import json
from typing import Final

from PIL import Image

from calotype.errors import CalotypeError
from calotype.images.decode import decode
from calotype.models.entry_script import SAMPLES
from calotype.models.image_model import ImageModel

_SAMPLE_SIDE: Final = 64  # pixels: 2 KB, so that the documents stay readable


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
