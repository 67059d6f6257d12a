"""Deletes what nothing in a workspace needs any more."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from calotype import errors
from calotype.workspace import environment_folders, leftovers, references, unpacked

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

# What is being registered has its files stored already, and no record yet.
SPARED_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Collected:
    """What was deleted.

    Attributes:
        blobs: stored files.
        bytes: their size.
        folders: of services without a record, copies of what was registered, and what killed
            processes left.
        environments: virtual environments that no record and no process uses.
    """

    blobs: int
    bytes: int
    folders: int
    environments: int


def collect(workspace: Workspace, *, older_than_s: float = SPARED_S) -> Collected:
    """Delete stored files and environments that no record needs, and folders of gone services.

    Args:
        workspace: to clean.
        older_than_s: younger files stay, as another process may be about to register them.

    Raises:
        CorruptWorkspace: a list of files that a record needs is missing or damaged, so that nobody
            knows which files belong to it.
    """
    found = references.read(workspace.database)
    try:
        blobs, size = workspace.artifacts.collect(
            set(found.trees), older_than_s=older_than_s, also=found.others
        )
    except (errors.NotFound, errors.CorruptWorkspace) as error:
        raise errors.CorruptWorkspace(
            "expected all artifacts that are registered",
            where=error.where,
            got=error.got,
            action="Delete what `calotype workspace check` names, then collect again.",
        ) from error
    links = {dataset.links_name for dataset in workspace.datasets.list()}
    unneeded = unpacked.remove_unneeded(
        workspace, links | found.trees.keys(), older_than_s=older_than_s
    )
    folders = unneeded + _remove_folders(workspace, older_than_s)
    environments = environment_folders.remove_unneeded(workspace, older_than_s=older_than_s)
    return Collected(blobs, size, folders, environments)


def _remove_folders(workspace: Workspace, older_than_s: float) -> int:
    idle = [folder for folder in leftovers.folders(workspace) if not leftovers.runs(folder)]
    removed = 0
    for folder in (*idle, *leftovers.temporary(workspace, older_than_s=older_than_s)):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:  # another `gc` was faster
            continue
        except OSError as error:
            raise errors.write_error(error, where=str(folder)) from error
        removed += 1
    return removed
