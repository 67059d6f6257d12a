"""Looks for damage in a workspace."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calotype import errors
from calotype.progress import SILENCE, Progress
from calotype.workspace import check_services, environment_folders, leftovers, references
from calotype.workspace.credentials import Credentials
from calotype.workspace.garbage import SPARED_S
from calotype.workspace.location import CONFIGURATION
from calotype.workspace.references import References

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

_GARBAGE = "`calotype workspace gc` deletes it."
_CHANGED = "Its files are not those that were registered"
_REGISTER_AGAIN = "Register the files again, as a new version, or delete this one."


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        where: the record, file or folder.
        problem: what is wrong, as a sentence.
        action: what to do.
        is_damage: whether something is broken; else it takes room, or needs a look.
    """

    where: str
    problem: str
    action: str
    is_damage: bool = True


def check(workspace: Workspace, *, progress: Progress = SILENCE) -> list[Finding]:
    """Return what is wrong with a workspace; every registered file is read.

    The revision of the tables has been checked when the workspace was opened.

    Args:
        workspace: to check.
        progress: told about each stored folder.
    """
    found = references.read(workspace.database)
    return [
        *_database(workspace),
        *_secrets(workspace),
        *(Finding(*said) for said in check_services.problems(workspace)),
        *_artifacts(workspace, found, progress),
        *_datasets(workspace),
        *_unused(workspace, found),
        *_folders(workspace),
        *_environments(workspace),
    ]


def _database(workspace: Workspace) -> Iterator[Finding]:
    for problem in workspace.database.problems():
        yield Finding(workspace.database.shown, problem, "Restore the database from a copy.")


def _secrets(workspace: Workspace) -> Generator[Finding]:
    place = workspace.place
    for path, mode, is_damage in (
        (place.key_file, "600", True),
        (place.root / CONFIGURATION, "600", True),
        (place.root, "700", False),  # what is secret in it is sealed
        (place.root / "workspace.db", "600", False),
    ):
        if path.exists() and os.name == "posix" and path.stat().st_mode & 0o077:
            problem = "Others than its owner may use it."
            yield Finding(str(path), problem, f"chmod {mode} '{path}'", is_damage)
    try:
        assert workspace.management_key
    except errors.CalotypeError as error:
        yield Finding(str(place.key_file), f"{error.expected}: got {error.got}.", error.action)
        return
    for service in workspace.services.list():
        try:
            Credentials.opened(service.credentials, workspace.key_file)
        except errors.CorruptWorkspace:
            yield Finding(
                f"service '{service.name}'",
                "The key file does not open its keys.",
                "Put the right key file into its place, or deploy it again.",
            )


def _artifacts(workspace: Workspace, found: References, progress: Progress) -> Generator[Finding]:
    progress.begin("checking", total=len(found.trees), unit="artifacts")
    for digest, where in sorted(found.trees.items(), key=lambda item: item[1]):
        for problem in workspace.artifacts.check(digest):
            yield Finding(where, problem, "Register it again, or restore the artifact store.")
        progress.advance(note=where)
    progress.end()


def _datasets(workspace: Workspace) -> Generator[Finding]:
    """Ask the registry about datasets that stayed where they were when they were registered."""
    for dataset in workspace.datasets.list():
        where = f"dataset '{dataset.id}'"
        try:
            change = dataset.change()
        except errors.CalotypeError as error:
            yield Finding(where, f"{error.expected}: got {error.got}.", error.action)
            continue
        if change is not None:  # a folder that grows is in use, not broken
            yield Finding(
                where, f"{_CHANGED}: {change.got}.", _REGISTER_AGAIN, is_damage=change.is_loss
            )


def _unused(workspace: Workspace, found: References) -> Generator[Finding]:
    try:
        count, size = workspace.artifacts.unused(
            set(found.trees), before=time.time() - SPARED_S, also=set(found.others)
        )
    except (errors.NotFound, errors.CorruptWorkspace):
        return  # told above
    if count:
        yield Finding(
            "artifacts", f"{count} files of {size} bytes belong to no record.", _GARBAGE, False
        )


def _folders(workspace: Workspace) -> Generator[Finding]:
    for folder in leftovers.folders(workspace):
        if leftovers.runs(folder):
            yield Finding(
                str(folder), "It runs, and no record knows its service.", "`calotype down` ends it."
            )
        else:
            yield Finding(str(folder), "No record knows its service.", _GARBAGE, False)


def _environments(workspace: Workspace) -> Generator[Finding]:
    if found := environment_folders.unneeded(workspace, older_than_s=SPARED_S):
        size = sum(map(environment_folders.bytes_of, found))
        problem = f"{len(found)} environments of {size} bytes are used by nothing."
        yield Finding(environment_folders.FOLDER, problem, _GARBAGE, False)
