"""The random steps of a transformation, drawn anew for every image and epoch.

All draws of one image come from a generator of its own, so that the pictures of an epoch depend on
the seed alone: not on the number of threads, nor on the order in which they finish. What each step
does is torchvision's operation of that name; the ranges are the documented ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as torchvision_functional

from calotype.images.decode import Picture, decode
from calotype.images.preprocess import Preprocessing, Preprocessor, needed_size
from calotype.images.transformation import COLOR_JITTER_STRENGTH, Transformation

# Annotated for tensors alone, these functions take Pillow images as well.
functional: Any = torchvision_functional

_Random = np.random.Generator
_Step = Callable[[Image.Image, _Random], Image.Image]

_AREA: Final = (0.08, 1.0)  # of the image, for the random resized crop
_ASPECT: Final = (3 / 4, 4 / 3)
_DISTORTION: Final = 0.5
_ERASED_AREA: Final = (0.02, 0.33)
_ERASED_ASPECT: Final = (0.3, 3.3)


class Augmentation:
    """Turns a picture into one that a network is trained on.

    Args:
        transformation: its random steps are applied after its deterministic ones.
        preprocessing: of the model that is being trained.
    """

    def __init__(self, transformation: Transformation, preprocessing: Preprocessing) -> None:
        self._transformation = transformation
        self._steps = _steps(transformation)
        draws_size = transformation.random_resized_crop or transformation.random_crop
        # Where no random crop gives all images one size, the model's own preprocessing does.
        is_cropped = transformation.center_crop or not draws_size
        self._preprocessor = Preprocessor(preprocessing) if is_cropped else None
        size = transformation.size if transformation.resize else None
        self._resize = preprocessing.resize if is_cropped else size

    def decode(self, data: bytes) -> Picture:
        """Decode the bytes of an image file, as small as the transformation allows.

        Raises:
            ImageTooLarge, UnreadableFile: it cannot be used.
        """
        return decode(data, at_least=needed_size(self._resize))

    def most_bytes(self, width: int, height: int) -> int:
        """Return how many bytes `prepare` makes at most of an image of so many pixels."""
        wanted = self._transformation
        if self._preprocessor is not None:
            height, width = self._preprocessor.preprocessing.input_size
        elif self._resize is not None:
            # One more: JPEGs that are decoded smaller have slightly other proportions.
            longer = int(self._resize * max(width, height) / max(1, min(width, height))) + 1
            height, width = self._resize, longer
        border = 2 * wanted.padding if wanted.pad and self._preprocessor is None else 0
        return (width + border) * (height + border) * 3

    def prepare(self, picture: Picture) -> NDArray[np.uint8]:
        """Do what is the same in every epoch.

        Returns:
            Values 0-255, shape (height, width, 3), RGB.
        """
        if self._preprocessor is not None:
            return self._preprocessor.crop(picture)
        return np.asarray(self._uncropped(picture))

    def vary(self, pixels: NDArray[np.uint8], random: _Random) -> NDArray[np.uint8]:
        """Apply the random steps to what `prepare` has made; shape and range stay of that kind."""
        if self._steps:
            image = Image.fromarray(pixels)
            for step in self._steps:
                image = step(image, random)
            pixels = np.asarray(image)
        return _erase(pixels, random) if self._transformation.random_erasing else pixels

    def _uncropped(self, picture: Picture) -> Image.Image:
        """Do what `Preprocessor.crop` does, but for the crop."""
        image = picture.image
        if self._resize is not None:
            image = functional.resize(image, [self._resize], InterpolationMode.BILINEAR)
        if self._transformation.grayscale:
            image = _gray(image)
        if self._transformation.pad:
            image = functional.pad(image, [self._transformation.padding])
        return image


def _steps(wanted: Transformation) -> list[_Step]:
    """Return the random steps in their fixed order."""
    known: list[tuple[bool, _Step]] = [
        (wanted.color_jitter, _jitter),
        (wanted.random_resized_crop, _resized_crop(wanted.random_size)),
        (wanted.random_crop, _crop(wanted.random_crop_size)),
        (wanted.random_horizontal_flip, _sometimes(0.5, functional.horizontal_flip)),
        (wanted.random_vertical_flip, _sometimes(0.5, functional.vertical_flip)),
        (wanted.random_rotation, _rotation(wanted.random_rotation_degrees)),
        (wanted.random_affine, _rotation(wanted.random_affine_degrees)),
        (wanted.random_grayscale, _sometimes(0.1, _gray)),
        (wanted.random_perspective, _perspective),
    ]
    return [step for is_on, step in known if is_on]


def _gray(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("RGB")


def _sometimes(probability: float, change: Callable[[Image.Image], Image.Image]) -> _Step:
    return lambda image, random: change(image) if random.random() < probability else image


def _jitter(image: Image.Image, random: _Random) -> Image.Image:
    changes = [
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
    ]
    for index in random.permutation(len(changes)):
        factor = random.uniform(1 - COLOR_JITTER_STRENGTH, 1 + COLOR_JITTER_STRENGTH)
        image = changes[index](image, factor)
    return image


def _resized_crop(size: int) -> _Step:
    def step(image: Image.Image, random: _Random) -> Image.Image:
        left, top, width, height = _random_box(image, random)
        return functional.resized_crop(
            image, top, left, height, width, [size, size], InterpolationMode.BILINEAR
        )

    return step


def _random_box(image: Image.Image, random: _Random) -> tuple[int, int, int, int]:
    """Draw left, top, width and height; the middle of the image when ten draws do not fit."""
    for _ in range(10):
        area = image.width * image.height * random.uniform(*_AREA)
        aspect = math.exp(random.uniform(math.log(_ASPECT[0]), math.log(_ASPECT[1])))
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < width <= image.width and 0 < height <= image.height:
            left = int(random.integers(image.width - width, endpoint=True))
            top = int(random.integers(image.height - height, endpoint=True))
            return left, top, width, height
    width = min(image.width, round(image.height * _ASPECT[1]))
    height = min(image.height, round(image.width / _ASPECT[0]))
    return (image.width - width) // 2, (image.height - height) // 2, width, height


def _crop(size: int) -> _Step:
    def step(image: Image.Image, random: _Random) -> Image.Image:
        if min(image.size) < size:  # black borders rather than an error for small images
            image = functional.center_crop(image, [max(size, image.height), max(size, image.width)])
        left = int(random.integers(image.width - size, endpoint=True))
        top = int(random.integers(image.height - size, endpoint=True))
        return image.crop((left, top, left + size, top + size))

    return step


def _rotation(degrees: int) -> _Step:
    return lambda image, random: functional.rotate(image, random.uniform(-degrees, degrees))


def _perspective(image: Image.Image, random: _Random) -> Image.Image:
    if random.random() >= 0.5:
        return image
    width, height = image.size
    across, down = int(_DISTORTION * (width // 2)), int(_DISTORTION * (height // 2))
    corners = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
    moved = [
        [abs(x - int(random.integers(across + 1))), abs(y - int(random.integers(down + 1)))]
        for x, y in corners
    ]
    return functional.perspective(image, corners, moved, InterpolationMode.BILINEAR)


def _erase(pixels: NDArray[np.uint8], random: _Random) -> NDArray[np.uint8]:
    if random.random() >= 0.5:
        return pixels
    height, width, _ = pixels.shape
    for _ in range(10):
        area = height * width * random.uniform(*_ERASED_AREA)
        aspect = math.exp(random.uniform(math.log(_ERASED_ASPECT[0]), math.log(_ERASED_ASPECT[1])))
        tall, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if tall < height and wide < width:
            top = int(random.integers(height - tall, endpoint=True))
            left = int(random.integers(width - wide, endpoint=True))
            erased = pixels.copy()
            erased[top : top + tall, left : left + wide] = 0
            return erased
    return pixels
