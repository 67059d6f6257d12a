"""Small pictures for the report, as data URIs so that the report needs no other file."""

from __future__ import annotations

import base64
import io
from typing import Protocol

from calotype import errors
from calotype.images.decode import decode

MAX_SIDE = 160  # pixels


class Thumbnails(Protocol):
    """Where the bytes of an image come from."""

    def read(self, image_id: int, path: str) -> bytes | None:
        """Return the file content of an image; None when it is not to be had."""
        ...


def data_uri(content: bytes) -> str | None:
    """Return an image as a small JPEG in a data URI; None when it cannot be decoded.

    It is decoded as for scoring: upright, RGB, what is transparent on white.

    Args:
        content: the bytes of an image file.
    """
    try:
        picture = decode(content, at_least=(MAX_SIDE, MAX_SIDE)).image
    except errors.FileError:
        return None
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
