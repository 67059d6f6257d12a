"""The import of a user's script: as a module of its own, with its neighbours in reach."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

_PACKAGE = "entry_source"  # stands for the source directory in relative imports


def import_script(path: Path, *, source_directory: Path) -> ModuleType:
    """Run the file at `path` as a module and return it.

    The process works in `source_directory` from now on. `import helper` finds the neighbours of
    the script and what lies in `source_directory`; so do relative imports.

    Raises:
        BaseException: whatever the script raises.
    """
    for folder in (source_directory, path.parent):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    os.chdir(source_directory)
    spec = _ScriptSpec(path, package=_package_of(path.parent, source_directory))
    module = importlib.util.module_from_spec(spec)
    _forget_schemas(path.stem)
    # Pickles look for their classes here; the name of a library that is loaded stays the library's.
    sys.modules.setdefault(path.stem, module)
    spec.execute(module)
    return module


class _ScriptSpec(ModuleSpec):
    """Names a module by its file alone, yet gives it a package for its relative imports."""

    def __init__(self, path: Path, *, package: str) -> None:
        self._loader = SourceFileLoader(path.stem, str(path))
        super().__init__(path.stem, self._loader, origin=str(path))
        self.has_location = True
        self._package = package

    @property
    def parent(self) -> str:
        """The package that relative imports begin at."""
        return self._package

    def execute(self, module: ModuleType) -> None:
        """Run the file."""
        self._loader.exec_module(module)


def _package_of(folder: Path, source_directory: Path) -> str:
    """Return the name of a package that stands for `folder`, below the one of the source."""
    is_below = folder.is_relative_to(source_directory)
    steps = folder.relative_to(source_directory).parts if is_below else ()
    if not is_below or any("." in step for step in steps):
        source_directory, steps = folder, ()
    root = ModuleType(_PACKAGE)
    root.__path__ = [str(source_directory)]
    sys.modules[_PACKAGE] = root
    name = ".".join((_PACKAGE, *steps))
    importlib.import_module(name)
    return name


def _forget_schemas(module: str) -> None:
    """Let a script be loaded again in one process: its decorators refuse to be used twice."""
    schema_util = sys.modules.get("inference_schema.schema_util")
    for registry in ("__functions_schema__", "__versions__"):
        known: dict[str, object] = getattr(schema_util, registry, {})
        for name in [name for name in known if name.startswith(f"{module}.")]:
            del known[name]
