"""Thumbnails: small, upright, opaque; nothing at all for what is no image."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from calotype.evaluation.thumbnails import MAX_SIDE, data_uri


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def decoded(uri: str | None) -> Image.Image:
    assert uri is not None
    head, _, content = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_every_format_becomes_a_small_jpeg(format: str) -> None:
    image = decoded(data_uri(encoded(Image.new("RGB", (900, 300), "red"), format)))
    assert image.size == (MAX_SIDE, 53)
    assert image.mode == "RGB"


def test_a_small_image_is_not_enlarged() -> None:
    assert decoded(data_uri(encoded(Image.new("L", (20, 10)), "PNG"))).size == (20, 10)


def test_a_photo_taken_sideways_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.new("RGB", (400, 200)), "JPEG", exif=exif)
    assert decoded(data_uri(content)).size == (80, 160)


def test_what_is_transparent_becomes_white() -> None:
    content = encoded(Image.new("RGBA", (50, 50), (0, 0, 0, 0)), "PNG")
    assert np.asarray(decoded(data_uri(content))).min() > 250


@pytest.mark.parametrize("content", [b"", b"<svg/>", b"\xff\xd8\xff\xe0 cut off"])
def test_what_is_no_image_has_no_thumbnail(content: bytes) -> None:
    assert data_uri(content) is None
