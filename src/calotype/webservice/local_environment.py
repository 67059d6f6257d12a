"""Environments of their own for entry scripts: Python's venv, below the workspace."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Final

from calotype import errors, files
from calotype.workspace.environment_folders import MADE, folder_of, is_made, lock_of
from calotype.workspace.environments import EnvironmentDefinition
from calotype.workspace.locking import waiting
from calotype.workspace.workspace import Workspace

_TIME_LIMIT_S: Final = 3600


def interpreter_of(workspace: Workspace, definition: EnvironmentDefinition) -> str:
    """Return the Python that runs what needs this environment; empty for our own."""
    if definition.interpreter:
        return definition.interpreter
    folder = folder_of(workspace, definition)
    if not (folder / MADE).is_file():
        return ""
    with waiting(lock_of(folder)):  # `workspace gc` may be about to remove it
        return str(_python(folder)) if is_made(folder) else ""


def build(workspace: Workspace, definition: EnvironmentDefinition) -> str:
    """Make the environment, unless it has been made, and return its Python.

    It sees the packages that Calotype itself runs with; pip installs what is missing there, or
    is there in another version.

    Raises:
        OperationFailed: pip could not install what is named; with what it said.
        CannotWrite: the workspace cannot be written to.
    """
    folder = folder_of(workspace, definition)
    with waiting(lock_of(folder), timeout_s=_TIME_LIMIT_S):
        if not is_made(folder):
            _make(folder, definition)
    return str(_python(folder))


def _make(folder: Path, definition: EnvironmentDefinition) -> None:
    has_pip = importlib.util.find_spec("pip") is not None
    try:
        venv.create(folder, clear=True, with_pip=not has_pip, symlinks=sys.platform != "win32")
    except OSError as error:
        raise errors.write_error(error, where=str(folder)) from error
    python = _python(folder)
    _show_our_packages(folder)
    lines = [*definition.pip_requirements]
    if lines:
        own = [sys.executable, "-m", "pip", "--python", str(python)]
        pip = own if has_pip else [str(python), "-m", "pip"]
        _install(pip, definition, lines)
    files.write_json(folder / MADE, definition.to_document())


def _install(pip: list[str], definition: EnvironmentDefinition, lines: list[str]) -> None:
    options = [word for option in definition.pip_options for word in option.split(maxsplit=1)]
    command = [*pip, "install", "--quiet", "--no-input", "--disable-pip-version-check", *options]
    try:
        done = subprocess.run(  # noqa: S603 - pip, as the user asked for
            [*command, *lines], capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise errors.OperationFailed(
            "expected pip to run", where=f"environment '{definition.name}'", got=str(error)
        ) from error
    if done.returncode:
        raise errors.OperationFailed(
            f"expected pip to install {', '.join(lines)}",
            where=f"environment '{definition.name}'",
            got=done.stderr.strip()[-2000:] or f"exit code {done.returncode}",
        )


def _show_our_packages(folder: Path) -> None:
    """Let the environment see what we run with, behind what is installed in itself."""
    import calotype

    names = {"base": str(folder), "platbase": str(folder)}
    inside = Path(sysconfig.get_path("purelib", "venv", vars=names))
    home = str(Path(calotype.__file__).parents[1])  # elsewhere when it is installed as editable
    ours = [home, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    files.write_text(inside / "calotype.pth", "\n".join(dict.fromkeys(ours)) + "\n")


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
