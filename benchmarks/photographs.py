"""JPEGs for the benchmarks, made from the photographs that scikit-image and scikit-learn ship."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage
import sklearn.datasets
from PIL import Image

_NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
_QUALITY = 88


def load() -> list[Image.Image]:
    """Return the photographs that are there: 5 to 7 pictures of 450 to 740 pixels."""
    folder = Path(skimage.__file__).parent / "data"
    found = [
        Image.open(folder / name).convert("RGB") for name in _NAMES if (folder / name).exists()
    ]
    return [*found, *(Image.fromarray(one) for one in sklearn.datasets.load_sample_images().images)]


def write(folder: Path, *, count: int, size: tuple[int, int], seed: int = 0) -> list[Path]:
    """Write `count` different JPEGs; those that are there already are kept.

    Each is a mosaic of random cuts of the photographs at about their own resolution, so that it
    has the detail, and the bytes, of a photograph of its size.

    Args:
        folder: where to write.
        count: how many.
        size: width and height in pixels.
        seed: of the cuts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    photographs = load()
    paths = [folder / f"{index:05d}.jpg" for index in range(count)]
    for index, path in enumerate(paths):
        if not path.exists():
            _mosaic(photographs, size, np.random.default_rng((seed, index))).save(
                path, quality=_QUALITY
            )
    return paths


def _mosaic(
    photographs: Sequence[Image.Image], size: tuple[int, int], random: np.random.Generator
) -> Image.Image:
    canvas = Image.new("RGB", size)
    columns, rows = max(1, round(size[0] / 700)), max(1, round(size[1] / 500))
    wide, tall = -(-size[0] // columns), -(-size[1] // rows)
    for column in range(columns):
        for row in range(rows):
            photograph = photographs[int(random.integers(len(photographs)))]
            canvas.paste(_cut(photograph, wide, tall, random), (column * wide, row * tall))
    return canvas


def _cut(photograph: Image.Image, wide: int, tall: int, random: np.random.Generator) -> Image.Image:
    share = random.uniform(0.6, 1.0)
    fit = share * min(photograph.width / wide, photograph.height / tall)
    width, height = fit * wide, fit * tall
    left = random.uniform(0, photograph.width - width)
    top = random.uniform(0, photograph.height - height)
    box = (left, top, left + width, top + height)
    cut = photograph.resize((wide, tall), Image.Resampling.BICUBIC, box=box)
    return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else cut
