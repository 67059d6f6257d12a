"""The module names of the retired SDK, for entry scripts that run where it is not installed.

What nearly every script needs is here and costs nothing. For the rest there is `calotype.azureml`,
a layer above this one: it is known by name only, and loaded when a script asks for something of it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from calotype.serving.entry.batch_entry import EntryScript
from calotype.serving.entry.data_collector import ModelDataCollector
from calotype.serving.entry.mounted_model import Model
from calotype.serving.entry.raw_http import rawhttp
from calotype.serving.entry.raw_request import AMLRequest
from calotype.serving.entry.raw_response import AMLResponse

_SDK: Final = "azureml"
_MIRROR: Final = "calotype.azureml"
_REQUEST: Final = {"AMLRequest": AMLRequest, "rawhttp": rawhttp}
_RESPONSE: Final = {"AMLResponse": AMLResponse}
_COLLECTOR: Final = {"ModelDataCollector": ModelDataCollector}
# `azureml.core` is among them because libraries that find `azureml` look for it, and fail without.
_OWN: Final[Mapping[str, Mapping[str, object]]] = {
    _SDK: {},
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
    "azureml_user": {},
    "azureml_user.parallel_run": {"EntryScript": EntryScript},
}


class _OldNames(MetaPathFinder, Loader):
    """The last of the finders, so that packages which are installed come first."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a module of ours for one of the old names.

        Raises:
            ModuleNotFoundError: of the SDK there is nothing installed, and we have no such module.
        """
        if fullname not in _OWN and not self._is_mirrored(fullname):
            return None
        return importlib.util.spec_from_loader(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module; what we do not have here, it fetches from the mirror."""
        name = module.__name__
        vars(module).update(_OWN.get(name, {}))
        if name == _SDK or name.startswith(f"{_SDK}."):
            vars(module)["__getattr__"] = _Mirrored(name)

    def _is_mirrored(self, fullname: str) -> bool:
        parent = fullname.rpartition(".")[0]
        if not parent.startswith(_SDK) or not (self._made(parent) or parent == _SDK):
            return False
        why: str = importlib.import_module(_MIRROR).why_missing(fullname)
        if why and self._made(_SDK):
            # Were it named itself, Python would leave the reason out of `from … import …`.
            raise ModuleNotFoundError(why, name=_SDK)
        return not why

    def _made(self, name: str) -> bool:
        """Return whether a module that has been imported is ours."""
        spec = getattr(sys.modules.get(name), "__spec__", None)
        return spec is not None and spec.loader is self


class _Mirrored:
    """The `__getattr__` of a module: it gives the names of the same module of the mirror."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __call__(self, name: str) -> Any:
        is_asked_by_python = name.startswith("__") and name not in ("__all__", "__version__")
        try:
            if is_asked_by_python:
                raise AttributeError
            found = getattr(importlib.import_module(f"calotype.{self._module}"), name)
        except AttributeError:
            raise AttributeError(f"module {self._module!r} has no attribute {name!r}") from None
        setattr(sys.modules[self._module], name, found)
        return found


_old_names = _OldNames()


def offer() -> None:
    """Let scripts import the old names where the packages that had them are not installed."""
    if _old_names not in sys.meta_path:
        sys.meta_path.append(_old_names)
