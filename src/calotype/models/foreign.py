"""What people pass for an image model that is none, and what they should do with it."""

from __future__ import annotations

import re
from pathlib import Path

from calotype import errors
from calotype.models import untrained_model

_MAKE_ONE = "Train a model with 'calotype train', or import one with 'calotype model import'."
_SCORE_TABLES = "Score tables with the Score Model module."
_PICKLES = (".pkl", ".pickle", ".joblib")
_WEIGHTS = (".onnx", ".safetensors", ".pth", ".pt")


def not_a_model(path: Path) -> errors.InvalidModel:
    """Return the error that says what is at `path` instead of an image model."""
    got, action = _describe(path)
    return errors.InvalidModel(
        "expected a trained image model", where=str(path), got=got, action=action
    )


def _describe(path: Path) -> tuple[str, str]:  # noqa: PLR0911 - one line for each thing
    if not path.exists():
        return "no such file or folder", "Check the path."
    if path.suffix.lower() in _PICKLES:
        return "a classic (pickled) model", _SCORE_TABLES
    if path.suffix.lower() in _WEIGHTS:
        action = "Make a model of it: 'calotype model import FILE --classes FILE --out MODEL'."
        return "weights that belong to no model.json", action
    if (path / untrained_model.FILE_NAME).is_file():
        return "an untrained model", "Train it first, with Train PyTorch Model."
    if (path / "image_directory.json").is_file():
        return "an image directory", "Exchange the model and the images."
    for folder in (path, path / "trained_model_outputs"):
        if (folder / "_meta.yaml").is_file() or (folder / "model_spec.yaml").is_file():
            return _describe_original(folder)
    return "a folder or file without a readable model.json", _MAKE_ONE


def _describe_original(path: Path) -> tuple[str, str]:
    """Say what a folder of the retired designer is, and what to do with it."""
    kind = re.search(r"(?m)^type: *(\w+)", _text(path / "_meta.yaml"))
    if kind is not None and "Model" not in kind[1]:
        return f"a directory of type {kind[1]}", _MAKE_ONE
    spec = _text(path / "model_spec.yaml")
    if "pytorch" not in spec:
        return "a classic (tabular) model", _SCORE_TABLES
    if "label_map_file" not in spec:
        return "an untrained model of the retired designer", _MAKE_ONE
    return (
        "a model of the retired designer",
        "Make one of ours of it: 'calotype model import FOLDER --out MODEL'.",
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
