"""Train an image model once, then print its predictions anywhere.

Importing this package loads nothing else: each public name is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from calotype.images.image_directory import ImageDirectory
    from calotype.models.image_model import ImageModel
    from calotype.scoring.scorer import Scorer

__version__ = "0.1.0"
__all__ = ["ImageDirectory", "ImageModel", "Scorer"]

_HOMES = {
    "ImageDirectory": "calotype.images.image_directory",
    "ImageModel": "calotype.models.image_model",
    "Scorer": "calotype.scoring.scorer",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'calotype' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
