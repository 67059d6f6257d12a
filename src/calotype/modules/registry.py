"""Which modules there are: ours, and those that other packages add.

A package adds modules by the entry point group `calotype.modules`: each entry names a Python module
to import, or a class in it, and the classes there are decorated with `register`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from typing import TypeVar

from calotype import errors
from calotype.modules.module import AnyModule, key_of

M = TypeVar("M", bound=AnyModule)

ENTRY_POINTS = "calotype.modules"

# In the order of the work, which is the order of every list.
_OURS = (
    "convert_to_image_directory",
    "split_image_directory",
    "init_image_transformation",
    "apply_image_transformation",
    "resnet",
    "densenet",
    "train_pytorch_model",
    "score_image_model",
    "evaluate_model",
)

_registered: dict[str, AnyModule] = {}


def register(module: type[M]) -> type[M]:
    """Add a module to the list; a decorator of its class.

    Raises:
        OperationFailed: another module has this name.
    """
    made = module()
    other = _registered.setdefault(made.key, made)
    if other is not made:
        raise errors.OperationFailed(
            "expected a name that no other module has",
            where=f"module {module.__module__}.{module.__qualname__}",
            got=f"'{made.name}', the name of {type(other).__module__}",
            action="Rename one of them, or uninstall the package that brings it.",
        )
    return module


def all_modules() -> list[AnyModule]:
    """Return every module: ours in the order of the work, then those of other packages.

    Raises:
        OperationFailed: a package that adds modules cannot be imported.
    """
    _load()
    others = [key for key in _registered if key not in _OURS]
    return [_registered[key] for key in (*_OURS, *others)]  # whichever was imported first


def find(name: str) -> AnyModule:
    """Return the module with this key or name, in whatever case.

    Raises:
        UnparsableValue: there is none (0002); the nearest one is suggested.
    """
    _load()
    module = _registered.get(key_of(name))
    if module is None:
        raise errors.UnparsableValue(
            "expected the name of a module",
            where="module",
            got=f"'{name}'",
            action=errors.suggest(key_of(name), _registered)
            or "List them with 'calotype module list'.",
        )
    return module


@functools.cache
def _load() -> None:
    for name in _OURS:
        importlib.import_module(f"calotype.modules.{name}")
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        _load_entry(entry)


def _load_entry(entry: importlib.metadata.EntryPoint) -> None:
    try:
        entry.load()
    except (ImportError, AttributeError) as error:
        package = entry.dist.name if entry.dist is not None else "an unknown package"
        raise errors.OperationFailed(
            "expected modules that can be imported",
            where=f"{entry.value}, from {package}",
            got=str(error),
            action="Update that package, or uninstall it.",
        ) from error
