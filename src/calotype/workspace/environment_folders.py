"""Virtual environments of scripts below a workspace: where they are, and which nobody needs.

`environments/DIGEST` is the same for all who ask for the same packages. Whoever holds
`environments/DIGEST.lock` may make or remove it, and whoever is given it makes it young.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype import errors, files
from calotype.workspace.environments import EnvironmentDefinition

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

FOLDER: Final = "environments"
MADE: Final = "calotype-environment.json"
"""The last file that is written into an environment."""

_GONE: Final = ".gone-"  # before a name: it is being removed


def folder_of(workspace: Workspace, definition: EnvironmentDefinition) -> Path:
    """Return where an environment is: the same for all that ask for the same packages."""
    asked = [sys.version, *_asked(definition.pip_options, definition.pip_requirements)]
    digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
    return workspace.place.root / FOLDER / digest


def lock_of(folder: Path) -> Path:
    """Return the lock file of an environment."""
    return folder.with_suffix(".lock")


def is_made(folder: Path) -> bool:
    """Return whether an environment is whole; one that is becomes young, so that it stays."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(folder / MADE)
        return True
    return False


def unneeded(workspace: Workspace, *, older_than_s: float) -> list[Path]:
    """Return the environments that no record and no process uses, and that are older than that."""
    place = workspace.place.root / FOLDER
    before = time.time() - older_than_s
    # Looked at before the records: an environment is young when a record begins to name it.
    old = [
        path
        for path in sorted(place.glob("[!.]*"))
        if path.is_dir() and not path.is_symlink() and _used_s(path) <= before
    ]
    if not old:
        return []
    named, registered = _named(workspace)
    running = _commands(place)
    return [
        path
        for path in old
        if path.name not in named
        and _made_of(path) not in registered
        and not any(_within(path) in text for text in running)
    ]


def remove_unneeded(workspace: Workspace, *, older_than_s: float) -> int:
    """Remove these environments; return how many.

    Raises:
        CannotWrite: one cannot be removed.
    """
    before = time.time() - older_than_s
    place = workspace.place.root / FOLDER
    _remove_gone(place)  # what a `gc` has left that was killed
    removed = 0
    for folder in unneeded(workspace, older_than_s=older_than_s):
        with contextlib.suppress(errors.Busy), files.locked(lock_of(folder), what=folder.name):
            if folder.is_dir() and _used_s(folder) <= before:  # nobody was given it meanwhile
                _mark_gone(folder)
                removed += 1
    _remove_gone(place)
    return removed


def bytes_of(folder: Path) -> int:
    """Return how much room an environment takes."""
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def _mark_gone(folder: Path) -> None:
    """Take an environment from its place; another one of its name may still be on its way out."""
    try:
        folder.rename(folder.with_name(f"{_GONE}{folder.name}-{secrets.token_hex(4)}"))
    except OSError as error:
        raise errors.write_error(error, where=str(folder)) from error


def _remove_gone(place: Path) -> None:
    for folder in place.glob(f"{_GONE}*"):
        try:
            if folder.is_symlink():
                folder.unlink()
            else:
                shutil.rmtree(folder)
        except FileNotFoundError:  # another `gc` was faster
            continue
        except OSError as error:
            raise errors.write_error(error, where=str(folder)) from error


def _asked(options: Sequence[str], requirements: Sequence[str]) -> tuple[str, ...]:
    """Return what is installed into an environment."""
    return (*options, *sorted(requirements))


def _made_of(folder: Path) -> tuple[str, ...] | None:
    """Return what is in an environment, whichever Python has made it; None while it is half."""
    try:
        said = files.read_json(folder / MADE)
    except errors.FileError:
        return None
    return _asked(said.get("pip_options", ()), said.get("pip_requirements", ()))


def _named(workspace: Workspace) -> tuple[set[str], set[tuple[str, ...]]]:
    """Return names of folders that records lead to, and what registered environments ask for."""
    registered = workspace.environments.list()
    pythons = [
        str(revision.inference.environment.get("interpreter", ""))
        for service in workspace.services.list()
        for version in service.versions
        for revision in version.revisions
    ]
    given = [one.interpreter for one in registered]
    # `environments/DIGEST/bin/python`, also of another machine that uses the same records.
    names = {part for path in (*pythons, *given) for part in Path(path).parts}
    return names, {_asked(one.pip_options, one.pip_requirements) for one in registered}


def _commands(place: Path) -> list[str]:
    """Return the command lines of the processes that use any environment of a workspace."""
    import psutil

    def lines() -> Iterator[str]:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                yield "\n".join(process.cmdline())

    return [line for line in lines() if f"/{place.name}/" in line]


def _within(folder: Path) -> str:
    return f"/{FOLDER}/{folder.name}/"


def _used_s(folder: Path) -> float:
    """Return when an environment was made or given to somebody last."""
    for path in (folder / MADE, folder):
        with contextlib.suppress(FileNotFoundError):
            return path.stat().st_mtime
    return time.time()
