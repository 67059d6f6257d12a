"""`Model` as entry scripts import it: the files of a model, below `AZUREML_MODEL_DIR`."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, Final

_REGISTERED: Final = "calotype.azureml.core.model"  # above us, and too much for the usual script


class _Mounted(type):
    """Passes on to the registered models of a workspace what is about them."""

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        return _registered()(*arguments, **named)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):  # Python itself looks, and nobody uses it
            raise AttributeError(name)
        return getattr(_registered(), name)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _registered())


class Model(metaclass=_Mounted):
    """The older way to find model files. Whatever else is asked of it, `calotype.Model` does."""

    @staticmethod
    def get_model_path(
        model_name: str, version: int | None = None, _workspace: object = None
    ) -> str:
        """Return the path of a model's file or folder below `AZUREML_MODEL_DIR`.

        Raises:
            FileNotFoundError: there is none of that name.
        """
        folder = Path(os.environ.get("AZUREML_MODEL_DIR", ""))
        named = folder / model_name
        if not named.exists() and folder.name and folder.is_dir():  # the folder of the only model
            return _only_one(folder)
        versions = sorted(
            (one for one in named.glob("*") if one.name.isdigit()), key=lambda one: int(one.name)
        )
        found = named / str(version) if version is not None else (versions or [named])[-1]
        if not found.exists():
            where = "AZUREML_MODEL_DIR" if folder.name else "AZUREML_MODEL_DIR, which is not set"
            raise FileNotFoundError(f"no model {model_name!r} in {where}")
        return _only_one(found)


def _only_one(folder: Path) -> str:
    """Return the file or folder that was registered: `joblib.load` is often called with it."""
    inside = [folder] if folder.is_file() else [*folder.iterdir()]
    return str(inside[0] if len(inside) == 1 else folder)


def _registered() -> Any:
    return importlib.import_module(_REGISTERED).Model
