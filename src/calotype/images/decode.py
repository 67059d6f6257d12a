"""From the bytes of an image file to an upright RGB picture, the same way everywhere."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from calotype import errors
from calotype.images.formats import DEFAULT_LIMITS, ImageLimits

# The formats behind the nine extensions; nothing else is tried, so that no file with an image's
# name reaches one of Pillow's rarer parsers.
PILLOW_FORMATS: Final = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")

_ORIENTATION_TAG: Final = 0x0112
_SIXTEEN_BIT: Final = ("I;16", "I;16L", "I;16B", "I;16N", "I")


@dataclass(frozen=True, slots=True)
class Picture:
    """An upright RGB picture, perhaps decoded smaller than its file."""

    image: Image.Image
    full_size: tuple[int, int]
    """Width and height of the file's picture, upright, in pixels."""


def decode(
    data: bytes,
    *,
    limits: ImageLimits = DEFAULT_LIMITS,
    at_least: tuple[int, int] | None = None,
    where: str = "image",
) -> Picture:
    """Decode one image: upright by its EXIF orientation, RGB, alpha flattened on white.

    Animations give their first frame. 16-bit gray keeps its range (the upper 8 bits), CMYK and
    palettes are converted.

    Args:
        data: the content of the file.
        limits: the most bytes and pixels that are accepted.
        at_least: width and height in pixels, upright, that the caller needs. A JPEG may then be
            decoded at 1/2, 1/4 or 1/8 of its size as long as both sides stay at least this long;
            that is two to four times faster for photographs (None: full size).
        where: the name for messages.

    Raises:
        ImageTooLarge: more bytes or pixels than the limits.
        UnreadableFile: not an image, damaged, or cut off.
    """
    if len(data) > limits.max_bytes:
        raise too_large(f"at most {limits.max_bytes:,} bytes", f"{len(data):,}", where=where)
    try:
        return _decode(data, limits, at_least, where)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large(f"at most {limits.max_pixels:,} pixels", str(error), where=where) from error
    except UnidentifiedImageError:
        raise unreadable("a file that is none, or of another format", where=where) from None
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError) as error:
        # Pillow's decoders report damage with any of these.
        raise unreadable(str(error) or type(error).__name__, where=where) from error


def unreadable(got: str, *, where: str) -> errors.UnreadableFile:
    """Return the error for a file that is not a whole image."""
    return errors.UnreadableFile(
        "expected a readable image (JPEG, PNG, BMP, TIFF, WebP, PPM or PGM)", where=where, got=got
    )


def too_large(allowed: str, got: str, *, where: str) -> errors.ImageTooLarge:
    """Return the error for an image over a limit."""
    action = "Make the image smaller, or raise the limit."
    return errors.ImageTooLarge(f"expected {allowed}", where=where, got=got, action=action)


def _decode(
    data: bytes, limits: ImageLimits, at_least: tuple[int, int] | None, where: str
) -> Picture:
    with Image.open(io.BytesIO(data), formats=PILLOW_FORMATS) as image:
        width, height = image.size
        if width * height > limits.max_pixels:
            raise too_large(
                f"at most {limits.max_pixels:,} pixels", f"{width} x {height}", where=where
            )
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
        is_turned = orientation in (5, 6, 7, 8)
        if at_least is not None and image.format in ("JPEG", "MPO"):
            across, down = at_least
            image.draft(None, (down, across) if is_turned else (across, down))
        image.load()
        upright = image if orientation == 1 else ImageOps.exif_transpose(image)
        return Picture(to_rgb(upright), (height, width) if is_turned else (width, height))


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the picture in mode RGB; see `decode` for what becomes of other modes."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in _SIXTEEN_BIT:
        gray = np.clip(np.asarray(image, dtype=np.int64) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(gray).convert("RGB")
    if image.mode == "F":
        return _float_to_rgb(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _float_to_rgb(image: Image.Image) -> Image.Image:
    """Convert floating-point gray: 0 to 1 when nothing exceeds 1, else 0 to 255."""
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("floating-point pixels that are not finite")
    scale = 255.0 if values.max(initial=0.0) <= 1.0 else 1.0
    gray = np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)
    return Image.fromarray(gray).convert("RGB")
