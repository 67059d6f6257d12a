"""Where an entry script finds its models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from calotype import errors

VARIABLE: Final = "AZUREML_MODEL_DIR"
_FOLDER: Final = "azureml-models"


def model_path(name: str, version: int | str | None = None) -> Path | None:
    """Return a model's file, or folder, in a running service; None outside of one.

    Raises:
        NotFound: the service has no such model.
    """
    said = os.environ.get(VARIABLE, "")
    if not said:
        return None
    root = Path(said)
    folder = root if version is None else root / name / str(version)
    if root.parent.name == name:  # the folder of the only model
        folder = root
    elif version is None:
        folder = _latest(root / name)
    if not folder.is_dir():
        raise errors.NotFound(
            f"expected the model '{name}'",
            where=f"{VARIABLE} ({_FOLDER})",
            got=", ".join(sorted(one.name for one in root.iterdir())) if root.is_dir() else "none",
            action="Deploy the service with this model.",
        )
    inside = [one for one in folder.iterdir() if not one.name.startswith(".")]
    return inside[0] if len(inside) == 1 else folder


def _latest(folder: Path) -> Path:
    versions = [one for one in folder.glob("*") if one.name.isdigit()]
    return max(versions, key=lambda one: int(one.name), default=folder / "1")
