"""`config.json` of the retired SDK: which workspace it means here."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype import errors, files
from calotype.workspace.location import (
    CONFIGURATION,
    FOLDER,
    Location,
    find,
    is_database,
    nearest,
    users_folder,
)

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

_NAME: Final = "config.json"
_LOCATION: Final = "calotype_location"
_FOLDERS: Final = (".azureml", "aml_config", "")  # where it lay


@dataclass(frozen=True, slots=True)
class Asked:
    """Which workspace was asked for.

    Attributes:
        place: of the workspace; None for the one that a command would use.
        file: the configuration file of the retired SDK; None when there was none.
        name: of the workspace, as that file says.
    """

    place: Path | str | None
    file: Path | None = None
    name: str | None = None


def read(path: str | Path | None, file_name: str | None) -> Asked:
    """Return which workspace `Workspace.from_config` means.

    Raises:
        NotFound: the path leads nowhere.
        UnparsableFile: the file is none of the retired SDK.
    """
    if path is None and file_name is None:
        return _without_path()
    if path is not None and (str(path).startswith("file:") or is_database(str(path))):
        return Asked(path)
    given = Path(path or ".")
    if given.is_file():
        return _of_file(given)
    if not given.is_dir():
        raise errors.NotFound(
            "expected a folder, or a file config.json",
            where="Workspace.from_config, path",
            got=f"{given.absolute()}, where there is nothing",
        )
    if file_name is None and (made := _in(given)):
        return Asked(made)
    beside = _beside(given, file_name)
    if found := _first(beside):
        return _of_file(found)
    if file_name is not None:
        raise errors.NotFound(
            f"expected a file '{file_name}'",
            where="Workspace.from_config, _file_name",
            got="none of " + ", ".join(str(one.absolute()) for one in beside),
        )
    return Asked(nearest(given.absolute()) or given)


def _without_path() -> Asked:
    """Look where a command would, and beside the script before the user's own workspace."""
    place = find()
    if place == users_folder() or not Location.of_folder(place).is_made:
        found = _first(_beside(Path(), None))
        with contextlib.suppress(errors.UnparsableFile):  # a `config.json` of something else
            if found is not None:
                return _of_file(found)
    return Asked(None)


def _beside(folder: Path, file_name: str | None) -> list[Path]:
    return [folder / one / (file_name or _NAME) for one in _FOLDERS]


def _first(paths: list[Path]) -> Path | None:
    return next((one for one in paths if one.is_file()), None)


def write(workspace: Workspace, folder: Path, file_name: str | None) -> None:
    """Write a file that names a workspace and where it is.

    Raises:
        CannotWrite: it cannot be written.
    """
    said = {"workspace_name": workspace.name, _LOCATION: workspace.location}
    files.write_json(folder / (file_name or _NAME), said)


def _in(folder: Path) -> Path | None:
    """Return the workspace in a folder, or the folder when it is one."""
    for place in (folder, folder / FOLDER):
        if (place / CONFIGURATION).is_file():
            return place
    return None


def check_name(workspace: Workspace, wanted: str | None, *, where: str) -> None:
    """Check that a workspace has the name that was asked for.

    Raises:
        EmptyInput: none was.
        NotFound: it has another.
    """
    try:
        if not wanted:
            raise errors.EmptyInput("expected workspace_name", where=where, got="none")
        if workspace.name != wanted:
            raise errors.NotFound(
                f"expected the workspace '{wanted}'",
                where=where,
                got=f"'{workspace.name}' in {workspace.location}",
                action=f"Make one with `calotype workspace create {wanted}` in another folder, or "
                "use Workspace.from_config() for this one.",
            )
    except errors.CalotypeError:
        workspace.close()
        raise


def _of_file(path: Path) -> Asked:
    if path.name == CONFIGURATION:
        return Asked(path.absolute().parent)
    document = files.read_json(path)
    if not isinstance(document, dict):
        raise errors.UnparsableFile(
            "expected the configuration of a workspace",
            where=str(path),
            got="JSON that is no object",
            action="Workspace.from_config() without a path finds the workspace of this folder.",
        )
    name, location = document.get("workspace_name"), str(document.get(_LOCATION) or "")
    if location and Location.of_folder(Path(location)).is_made:
        place = Path(location)
    else:  # those of the retired SDK do not say it, nor does one from another machine
        place = nearest(path.absolute().parent) or find()
    return Asked(place, path, str(name) if name else None)
