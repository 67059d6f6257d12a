"""Folders of running services that no record knows any more."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from calotype import errors, files

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace


def folders(workspace: Workspace) -> list[Path]:
    """Return the folders below `run/services` whose service has been deleted."""
    services = workspace.place.run_folder / "services"
    if not services.is_dir():
        return []
    # Looked at before the records: a service is registered before it gets a folder.
    found = sorted(path for path in services.iterdir() if path.is_dir())
    known = {service.name for service in workspace.services.list()}
    return [path for path in found if path.name not in known]


def temporary(workspace: Workspace, *, older_than_s: float) -> list[Path]:
    """Return the folders that were being filled when their process was killed."""
    before = time.time() - older_than_s
    hidden = sorted(workspace.place.root.glob(".*"))
    return [path for path in hidden if path.is_dir() and path.stat().st_mtime <= before]


def runs(folder: Path) -> bool:
    """Return whether a replica of that service still lives: it holds its lock file."""
    for path in (folder / "replicas").glob("*.lock"):
        try:
            with files.locked(path, what=str(folder)):
                pass
        except errors.Busy:
            return True
    return False
