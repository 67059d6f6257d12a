"""What can be served without an entry script, told from the names of a model's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Literal

from calotype.serving.no_code.sklearn_script import PICKLE_SUFFIXES, SAFE_SUFFIX

ModelKind = Literal["image", "onnx", "sklearn", "pickle"]
"""`pickle` is a scikit-learn model that runs code when it is loaded: only with leave."""


def kind_of(paths: Sequence[str]) -> ModelKind | None:
    """Return what the files at `paths` are; None when only an entry script could tell."""
    if "model.json" in paths:
        return "image"
    suffixes = [PurePosixPath(path).suffix.lower() for path in paths]
    if suffixes.count(".onnx") == 1:
        return "onnx"
    if suffixes.count(SAFE_SUFFIX) == 1:
        return "sklearn"
    if sum(suffix in PICKLE_SUFFIXES for suffix in suffixes) == 1 and len(paths) == 1:
        return "pickle"
    return None
