"""`@rawhttp`, and the module names under which scripts import it and its classes."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from calotype.serving.entry.data_collector import ModelDataCollector
from calotype.serving.entry.raw_request import AMLRequest
from calotype.serving.entry.raw_response import AMLResponse

Function = TypeVar("Function", bound=Callable[..., Any])

_marked: list[Callable[..., Any]] = []
_REAL_MODULES = (
    "azureml_inference_server_http.api.aml_request",
    "azureml.contrib.services.aml_request",
)


def rawhttp(function: Function) -> Function:
    """Mark `run` as one that takes an `AMLRequest`."""
    _marked.append(function)
    return function


def forget_marks() -> None:
    """Begin anew, before a script is loaded."""
    _marked.clear()


def is_marked() -> bool:
    """Say whether the script has used `@rawhttp`, of ours or of the original package."""
    real = (sys.modules.get(name) for name in _REAL_MODULES)
    return bool(_marked) or any(getattr(one, "_rawHttpRequested", False) is True for one in real)


class Model:
    """The older way to find model files: only `get_model_path`."""

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
            raise FileNotFoundError(f"no model {model_name!r} in AZUREML_MODEL_DIR")
        return _only_one(found)


def _only_one(folder: Path) -> str:
    """Return the file or folder that was registered: `joblib.load` is often called with it."""
    inside = [folder] if folder.is_file() else [*folder.iterdir()]
    return str(inside[0] if len(inside) == 1 else folder)


_REQUEST = {"AMLRequest": AMLRequest, "rawhttp": rawhttp}
_RESPONSE = {"AMLResponse": AMLResponse}
_COLLECTOR = {"ModelDataCollector": ModelDataCollector}
# `azureml.core` is among them because libraries that find `azureml` look for it, and fail without.
_MODULES: dict[str, Mapping[str, object]] = {
    "azureml": {},
    "azureml.contrib": {},
    "azureml.contrib.services": {},
    "azureml.contrib.services.aml_request": _REQUEST,
    "azureml.contrib.services.aml_response": _RESPONSE,
    "azureml.core": {"Model": Model},
    "azureml.core.model": {"Model": Model},
    "azureml.monitoring": _COLLECTOR,
    "azureml.monitoring.modeldatacollector": _COLLECTOR,
    "azureml_inference_server_http": {},
    "azureml_inference_server_http.api": {**_REQUEST, **_RESPONSE},
    "azureml_inference_server_http.api.aml_request": _REQUEST,
    "azureml_inference_server_http.api.aml_response": _RESPONSE,
}


class _OldNames(MetaPathFinder, Loader):
    """The last of the finders, so that packages which are installed come first."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a module of ours for one of the old names."""
        if fullname not in _MODULES:
            return None
        return importlib.util.spec_from_loader(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module."""
        vars(module).update(_MODULES[module.__name__])


_old_names = _OldNames()


def offer_old_names() -> None:
    """Let scripts import the old names where the packages that had them are not installed."""
    if _old_names not in sys.meta_path:
        sys.meta_path.append(_old_names)
