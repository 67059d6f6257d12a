"""Virtual environments of scripts below a workspace: where they are, and which nobody needs.

`environments/DIGEST` is the same for all who ask for the same packages. Whoever holds
`environments/DIGEST.lock` may make or remove it, and whoever is given it makes it young.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
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
    asked = [sys.version, *definition.pip_options, *sorted(definition.pip_requirements)]
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
        path for path in sorted(place.glob("[!.]*")) if path.is_dir() and _used_s(path) <= before
    ]
    if not old:
        return []
    named = _named(workspace)
    running = _commands(place)
    return [
        path
        for path in old
        if path.name not in named and not any(_within(path) in text for text in running)
    ]


def remove_unneeded(workspace: Workspace, *, older_than_s: float) -> int:
    """Remove these environments; return how many.

    Raises:
        CannotWrite: one cannot be removed.
    """
    before = time.time() - older_than_s
    removed = 0
    for folder in unneeded(workspace, older_than_s=older_than_s):
        with contextlib.suppress(errors.Busy), files.locked(lock_of(folder), what=folder.name):
            if folder.is_dir() and _used_s(folder) <= before:  # nobody was given it meanwhile
                folder.rename(folder.with_name(f"{_GONE}{folder.name}"))
                removed += 1
    for folder in (workspace.place.root / FOLDER).glob(f"{_GONE}*"):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:  # another `gc` was faster
            continue
        except OSError as error:
            raise errors.write_error(error, where=str(folder)) from error
    return removed


def bytes_of(folder: Path) -> int:
    """Return how much room an environment takes."""
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def _named(workspace: Workspace) -> set[str]:
    """Return the names of the folders that records lead to."""
    registered = [folder_of(workspace, one).name for one in workspace.environments.list()]
    pythons = [
        str(revision.inference.environment.get("interpreter", ""))
        for service in workspace.services.list()
        for version in service.versions
        for revision in version.revisions
    ]
    given = [one.interpreter for one in workspace.environments.list()]
    # `environments/DIGEST/bin/python`, also of another machine that uses the same records.
    return {*registered, *(part for path in (*pythons, *given) for part in Path(path).parts)}


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
