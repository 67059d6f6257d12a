"""Photographs of which everybody knows what they show; they ship in packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def folder_of(package: str) -> Path:
    """Return the folder `data` of a package, without importing it."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data"


# Twenty photographs of ImageNet; the class index is in the name.
IMAGENET = sorted(folder_of("foolbox").glob("imagenet_*.jpg"))
OF_SKIMAGE = folder_of("skimage")
