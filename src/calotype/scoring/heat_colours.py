"""Drawing heat on a picture, in colours that the colour-blind and a gray printer can tell apart."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Purple, red, orange, yellow at rising lightness: brighter always means more.
_STOPS: Final = (0.0, 0.35, 0.7, 1.0)
_COLOURS: Final = ((60, 0, 90), (190, 40, 70), (245, 135, 30), (255, 240, 120))
_MOST_OPAQUE: Final = 0.75


def coloured(picture: Image.Image, heat: NDArray[np.float32]) -> Image.Image:
    """Return the picture in gray with heat on it; where there is none the gray stays.

    Args:
        picture: RGB.
        heat: 0-1, shape (height, width) of the picture.
    """
    gray = np.asarray(picture.convert("L"), np.float32)[..., None]
    colours = np.stack(
        [np.interp(heat, _STOPS, channel) for channel in zip(*_COLOURS, strict=True)], axis=-1
    )
    opacity = _MOST_OPAQUE * np.sqrt(heat)[..., None]
    mixed = gray * (1.0 - opacity) + colours * opacity
    return Image.fromarray(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))
