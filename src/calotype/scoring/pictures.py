"""What `Scorer.predict` and `Scorer.explain` take as an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from calotype import errors
from calotype.images.decode import Picture, to_rgb
from calotype.images.preprocess import Preprocessor

Predictable = str | Path | bytes | Image.Image | NDArray[np.uint8]
"""A path, the bytes of an image file, a Pillow picture, or an array (uint8, RGB or gray)."""


def open_picture(image: Predictable, preprocessor: Preprocessor, *, where: str) -> Picture:
    """Return an upright RGB picture, decoded as for scoring.

    Raises:
        UnreadableFile, ImageTooLarge: it cannot be used.
        UnparsableValue: an array of another type or shape.
    """
    if isinstance(image, bytes):
        return preprocessor.decode(image, where=where)
    if isinstance(image, str | Path):
        return preprocessor.decode(_read(Path(image)), where=where)
    picture = image if isinstance(image, Image.Image) else _picture_of(image, where)
    return Picture(to_rgb(picture), picture.size)


def name_of(image: Predictable, index: int) -> str:
    """Return what messages call an image."""
    return str(image) if isinstance(image, str | Path) else f"image {index}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.UnreadableFile(
            "expected a readable image file", where=str(path), got=error.strerror or str(error)
        ) from error


def _picture_of(pixels: NDArray[np.uint8], where: str) -> Image.Image:
    is_picture = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if pixels.dtype != np.uint8 or not is_picture:
        raise errors.UnparsableValue(
            "expected an array of uint8, shape (height, width, 3) or (height, width)",
            where=where,
            got=f"{pixels.dtype}, shape {pixels.shape}",
        )
    return Image.fromarray(pixels)
