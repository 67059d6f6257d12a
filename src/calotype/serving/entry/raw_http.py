"""`@rawhttp`: how a script says that it wants the whole request."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

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
