"""The user's code as a service needs it: stored whole, so that it never changes under one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from calotype import errors
from calotype.hosting.ignored import IgnoreRules
from calotype.workspace.environments import EnvironmentDefinition
from calotype.workspace.sealed_variables import check_variables
from calotype.workspace.service_settings import Inference
from calotype.workspace.workspace import Workspace

MOST_BYTES: Final = 500 << 20
MOST_FILES: Final = 10_000
_IGNORE_FILES: Final = (".amlignore", ".gitignore")  # the first that is there, as in the original
_NEVER: Final = frozenset(
    (
        ".git",
        ".hg",
        ".svn",
        ".calotype",
        "__pycache__",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        "node_modules",
    )
)
_BESIDE: Final = (".py", ".json")  # imports, `swagger.json`, `_samples.json`


def inference_of(
    workspace: Workspace,
    *,
    entry_script: str | Path | None = None,
    source_directory: str | Path | None = None,
    environment: EnvironmentDefinition | None = None,
    description: str = "",
    live: bool = False,
) -> Inference:
    """Store the user's code and return what runs it.

    Args:
        workspace: keeps the code.
        entry_script: below the source directory; without one, a path, of which the Python and
            JSON files beside it are taken too.
        source_directory: everything in it is taken, but for what its `.amlignore` or `.gitignore`
            names.
        environment: what the script runs in; our own when left out.
        description: for people.
        live: remember the directory, so that a local service can be reloaded.

    Raises:
        EmptyInput: a source directory without an entry script.
        NotFound: the directory or the script does not exist, or is ignored.
        NotInRange: the directory is too large.
        UnparsableValue: the name of a variable is none.
    """
    if entry_script is None:
        if source_directory is not None:
            raise errors.EmptyInput(
                "expected the entry script in the source directory",
                where="entry_script",
                got="none",
                action="Name it, below the source directory, or leave the source directory out.",
            )
        return Inference(description=description)
    if environment is not None:
        check_variables(environment.environment_variables)
    folder, script = _places(Path(entry_script), source_directory)
    names = _files(folder) if source_directory is not None else _beside(folder)
    return Inference(
        entry_script=script,
        source=_store(workspace, folder, list(names), script),
        live_source=str(folder) if live else "",
        environment=environment.whole_document() if environment else {},
        description=description,
    )


def stored_anew(workspace: Workspace, inference: Inference) -> Inference:
    """Return the same with the code that is in its source directory now.

    Raises:
        NotFound: the directory or the script is gone.
        NotSupported: the directory is not known.
    """
    if not inference.live_source:
        raise errors.NotSupported(
            "expected a service that was deployed from a source directory",
            where="reload",
            got="one that does not know it",
            action="Update it with its script instead.",
        )
    folder = Path(inference.live_source)
    kept = workspace.artifacts.tree(inference.source).entries
    # It was a whole directory when it had sub-folders; a script alone takes what lies beside it.
    is_whole = any("/" in entry.path or not entry.path.endswith(_BESIDE) for entry in kept)
    names = _files(folder) if is_whole else _beside(folder)
    source = _store(workspace, folder, list(names), inference.entry_script)
    return inference.model_copy(update={"source": source})


def _places(script: Path, source_directory: str | Path | None) -> tuple[Path, str]:
    """Return the folder and the path of the script in it."""
    if source_directory is None:
        _require(script.is_file(), "the entry script", script)
        return script.absolute().parent, script.name
    folder = Path(source_directory).absolute()
    _require(folder.is_dir(), "the source directory", folder)
    if (folder / script).is_file():
        return folder, Path(os.path.relpath(folder / script, folder)).as_posix()
    is_inside = script.is_file() and script.absolute().is_relative_to(folder)
    _require(is_inside, "the entry script in the source directory", folder / script)
    return folder, script.absolute().relative_to(folder).as_posix()


def _require(is_there: bool, what: str, path: Path) -> None:
    if not is_there:
        near = errors.suggest(path.name, _names_beside(path))
        raise errors.NotFound(
            f"expected {what}",
            where=str(path),
            got="nothing there",
            action=near or "Check the path.",
        )


def _names_beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []


def _beside(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.suffix in _BESIDE and path.is_file():
            yield path.name


def _files(folder: Path) -> Iterator[str]:
    rules = _rules(folder)
    for parent, folders, names in os.walk(folder):
        above = Path(parent).relative_to(folder)
        folders[:] = sorted(
            name
            for name in folders
            if name not in _NEVER
            and not Path(parent, name, "pyvenv.cfg").exists()
            and not rules.ignores((above / name).as_posix(), is_folder=True)
        )
        for name in sorted(names):
            path = (above / name).as_posix()
            if not rules.ignores(path, is_folder=False) and Path(parent, name).is_file():
                yield path


def _rules(folder: Path) -> IgnoreRules:
    for name in _IGNORE_FILES:
        try:
            return IgnoreRules((folder / name).read_text(encoding="utf-8").splitlines())
        except FileNotFoundError:
            continue
    return IgnoreRules(())


def _store(workspace: Workspace, folder: Path, names: list[str], script: str) -> str:
    if script not in names:
        raise errors.NotFound(
            "expected the entry script among the files to take",
            where=str(folder / script),
            got="one that .amlignore or .gitignore leaves out"
            if (folder / script).exists()
            else "nothing there",
        )
    _check_size(folder, names)
    with tempfile.TemporaryDirectory(prefix="calotype-source-") as temporary:
        for name in names:
            copy = Path(temporary, name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / name, copy)
        return workspace.artifacts.put(Path(temporary)).digest


def _check_size(folder: Path, names: list[str]) -> None:
    sizes = {name: (folder / name).stat().st_size for name in names}
    total = sum(sizes.values())
    if len(names) <= MOST_FILES and total <= MOST_BYTES:
        return
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    raise errors.NotInRange(
        f"expected at most {MOST_FILES:,} files and {MOST_BYTES >> 20} MB",
        where=str(folder),
        got=f"{len(names):,} files, {total >> 20:,} MB; the largest: "
        + ", ".join(f"{name} ({sizes[name] >> 20:,} MB)" for name in largest),
        action="Name what no service needs in a file .amlignore, or register it as a model.",
    )
