"""Every documented name is there, with the documented parameters in their order and defaults."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from typing import Any

import pytest
from documented import FRAMEWORKS, PROPERTIES, SURFACE

MEMBERS = [(kind, name) for kind, members in SURFACE.items() for name in members]


def found(path: str) -> Any:
    """Return a class or a module of the mirror."""
    module, _, name = path.rpartition(".")
    try:
        return importlib.import_module(f"calotype.azureml.{path}")
    except ModuleNotFoundError:
        return getattr(importlib.import_module(f"calotype.azureml.{module}"), name)


def documented(text: str) -> list[tuple[str, object]]:
    """Return names with their defaults; `...` for those that must be given."""
    parts = (part.partition("=") for part in text.split())
    return [(name, _default(sign, value)) for name, sign, value in parts]


def _default(sign: str, value: str) -> object:
    if not sign:
        return ...
    return ast.literal_eval(value) if value else None


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_parameters_are_the_documented_ones(kind: str, name: str) -> None:
    signature = inspect.signature(getattr(found(kind), name))
    there = {
        key: ... if one.default is inspect.Parameter.empty else one.default
        for key, one in signature.parameters.items()
        if key not in ("self", "cls")
        and one.kind in (one.POSITIONAL_OR_KEYWORD, one.POSITIONAL_ONLY)
    }
    wanted = documented(SURFACE[kind][name])
    assert list(there.items())[: len(wanted)] == wanted
    assert ... not in list(there.values())[len(wanted) :]


@pytest.mark.parametrize("kind", PROPERTIES)
def test_documented_names_are_there(kind: str) -> None:
    missing = [name for name in PROPERTIES[kind].split() if not hasattr(found(kind), name)]
    assert missing == []


def test_frameworks() -> None:
    assert [str(one) for one in found("core.model.Model").Framework] == FRAMEWORKS


def test_the_mirror_has_only_names_of_ours() -> None:
    import pkgutil

    import calotype.azureml

    for module in pkgutil.walk_packages(calotype.azureml.__path__, "calotype.azureml."):
        loaded = importlib.import_module(module.name)
        for name in getattr(loaded, "__all__", ()):
            home = getattr(getattr(loaded, name), "__module__", "calotype")
            assert not home.startswith("calotype.azureml"), name


def test_names_of_the_package_are_loaded_when_they_are_used() -> None:
    program = (
        "import sys, calotype\n"
        "assert not {'sqlalchemy', 'pandas', 'onnxruntime', 'torch'} & set(sys.modules)\n"
        "print([getattr(calotype, name).__name__ for name in calotype.__all__])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    names = ast.literal_eval(done.stdout)
    assert {"Workspace", "Dataset", "Model", "Environment", "InferenceConfig"} < set(names)
    assert "BatchWebservice" in names
    assert {"Webservice", "LocalWebservice", "InstanceWebservice", "ClusterWebservice"} < set(names)
