"""Small real images in folders named 0 to 9, and a listener to their training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from calotype.images.transformation import Transformation

SMALL = Transformation.of({"size": 32, "crop_size": 32, "random_horizontal_flip": False})


@dataclass
class Told:
    """A listener that remembers what it was told."""

    tasks: list[tuple[str, int | None, str]] = field(
        default_factory=list[tuple[str, int | None, str]]
    )
    advanced: int = 0
    ended: int = 0
    said: list[str] = field(default_factory=list[str])

    def begin(self, task: str, *, total: int | None, unit: str) -> None:
        self.tasks.append((task, total, unit))

    def advance(self, count: int = 1, *, note: str = "") -> None:
        self.advanced += count

    def end(self) -> None:
        self.ended += 1

    def say(self, message: str) -> None:
        self.said.append(message)


def write_digits(folder: Path, indices: Sequence[int], *, shift: int = 0) -> Path:
    """Write digits of scikit-learn as PNG files in class folders; `shift` falsifies the labels."""
    digits: Any = load_digits()
    for index in indices:
        pixels = (digits.images[index] * 15.9).astype(np.uint8)
        category = folder / str((digits.target[index] + shift) % 10)
        category.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(category / f"{index:04}.png")
    return folder
