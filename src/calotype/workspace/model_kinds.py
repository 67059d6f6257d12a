"""What a model is, by looking at its files; nothing of it is executed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from calotype import errors
from calotype.models.image_model import MODEL_JSON, WEIGHTS, ImageModel
from calotype.models.package import SUFFIX as PACKED
from calotype.workspace.location import FOLDER

Kind = Literal["image", "onnx", "sklearn", "files"]

FRAMEWORKS: Final = (
    "Custom",
    "TensorFlow",
    "ScikitLearn",
    "Onnx",
    "TfKeras",
    "PyTorch",
    "Multi",
)
# A .pkl may hold anything; the others hold what their names say.
_BY_SUFFIX: Final[dict[str, str]] = {
    ".onnx": "Onnx",
    ".skops": "ScikitLearn",
    ".joblib": "ScikitLearn",
    ".pt": "PyTorch",
    ".pth": "PyTorch",
    ".h5": "TfKeras",
    ".keras": "TfKeras",
}
_KINDS: Final[dict[str, Kind]] = {".onnx": "onnx", ".skops": "sklearn", ".joblib": "sklearn"}


@dataclass(frozen=True, slots=True)
class Recognised:
    """What was found at a path.

    Attributes:
        kind: "image" for an image model of ours.
        framework: one of `FRAMEWORKS`.
        framework_version: of what trained it, where the files say so.
        facts: of an image model: architecture, number of classes, digest.
    """

    kind: Kind
    framework: str
    framework_version: str | None = None
    facts: dict[str, Any] = field(default_factory=dict[str, Any])


def recognise(path: Path) -> Recognised:
    """Look at a model; an image model is checked as a whole.

    Raises:
        UnreadableFile: there is nothing, or it may not be read.
        EmptyInput: a folder without files.
        CorruptModel: an image model that is damaged.
    """
    if path.is_file():
        return _recognise_file(path)
    if not path.is_dir():
        raise errors.UnreadableFile(
            "expected the file or folder of a model",
            where=str(path),
            got="nothing there" if not path.is_symlink() else "a link that leads nowhere",
            action="Check the path.",
        )
    if _is_image_model(path):
        return _recognise_image_model(path)
    names = _file_names(path)
    if not names:
        raise errors.EmptyInput("expected a folder with files", where=str(path), got="an empty one")
    guesses = {_BY_SUFFIX[suffix] for name in names if (suffix := _suffix(name)) in _BY_SUFFIX}
    return Recognised("files", guesses.pop() if len(guesses) == 1 else FRAMEWORKS[0])


def check_framework(framework: str) -> str:
    """Return a framework as it is written; letter case does not matter.

    Raises:
        UnparsableValue: it is none of those known.
    """
    for known in FRAMEWORKS:
        if known.lower() == framework.lower():
            return known
    raise errors.UnparsableValue(
        f"expected one of {', '.join(FRAMEWORKS)}",
        where="model framework",
        got=f"'{framework}'",
        action=errors.suggest(framework, FRAMEWORKS),
    )


def _recognise_file(path: Path) -> Recognised:
    if not os.access(path, os.R_OK):
        raise errors.UnreadableFile(
            "expected a file that you may read", where=str(path), got="no right to read it"
        )
    suffix = _suffix(path.name)
    if suffix == PACKED:
        return _recognise_image_model(path)
    return Recognised(_KINDS.get(suffix, "files"), _BY_SUFFIX.get(suffix, FRAMEWORKS[0]))


def _is_image_model(folder: Path) -> bool:
    """Return whether this is a model of ours; others call their files model.json too."""
    try:
        document = json.loads((folder / MODEL_JSON).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and {"format_version", "task", "files"} <= document.keys()


def _recognise_image_model(path: Path) -> Recognised:
    loaded = ImageModel.load(path)
    loaded.verify()
    facts = {
        "architecture": loaded.description.architecture.name,
        "classes": len(loaded.classes),
        "input_size": list(loaded.input_size),
        "digest": loaded.digest,
    }
    if not loaded.has(WEIGHTS):
        return Recognised("image", "Onnx", facts=facts)
    return Recognised("image", "PyTorch", loaded.description.versions.get("torch"), facts)


def _file_names(folder: Path) -> list[str]:
    found: list[str] = []
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != FOLDER]
        found += names
        found += [name for name in folders if os.path.islink(os.path.join(top, name))]
    return found


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()
