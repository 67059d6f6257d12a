"""What a service that is measured is asked."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from calotype import errors
from calotype.clients.described import describe
from calotype.images.image_directory import ImageDirectory
from calotype.webservice.profiling.load import Body

MOST_IMAGES: Final = 64
_JSON: Final = "application/json"
_SIDE: Final = (640, 480)


def of_images(source: Path) -> list[Body]:
    """Return the first images of a source, as they are.

    Raises:
        InvalidDataset: there is none.
    """
    with ImageDirectory.open(source) as directory, directory.reader() as reader:
        entries = itertools.islice(directory.entries(), MOST_IMAGES)
        return [Body(reader.read(one), "application/octet-stream") for one in entries]


def of_files(paths: Sequence[Path]) -> list[Body]:
    """Return the content of JSON files.

    Raises:
        UnreadableFile: one cannot be read.
        UnparsableFile: one is not JSON.
    """
    found: list[Body] = []
    for path in paths:
        try:
            content = path.read_bytes()
            json.loads(content)
        except OSError as error:
            raise errors.UnreadableFile(
                "expected a readable file", where=str(path), got=error.strerror or "an I/O error"
            ) from error
        except ValueError as error:
            raise errors.UnparsableFile("expected JSON", where=str(path), got=str(error)) from error
        found.append(Body(content, _JSON))
    return found


def of_values(values: Sequence[Any]) -> list[Body]:
    """Return requests of values: text and bytes as they are, others as JSON."""
    return [Body(_encoded(value), _JSON) for value in values]


def of_service(scoring_uri: str) -> list[Body]:
    """Return what a service gives as its own example; a drawn picture where it takes images.

    Raises:
        CalotypeError: it says nothing about what it takes.
    """
    described = describe(scoring_uri, credential=None)
    if described.is_image or not described.example:
        return [Body(picture(), "image/jpeg")]
    return [Body(described.example, _JSON)]


def picture() -> bytes:
    """Return a JPEG of soft colours, about as large as a photograph of its size."""
    noise = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize(_SIDE, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _encoded(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()
