"""What an argument names: a path that exists, or else something of the workspace.

A path always wins. `dataset:NAME[:VERSION]` and `model:NAME[:VERSION]` say plainly what is meant.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from calotype import errors
from calotype.cli.workspace_option import current_workspace

if TYPE_CHECKING:
    from calotype.cli.terminal import Terminal
    from calotype.workspace.dataset import RegisteredDataset
    from calotype.workspace.registered_model import RegisteredModel
    from calotype.workspace.workspace import Workspace

Kind = Literal["dataset", "model"]

_READY_MODEL: Final = "imagenet"


def source_path(given: Path, terminal: Terminal) -> Path:
    """Return the files that SOURCE means: a path, or those of a registered dataset.

    Raises:
        NotFound: no dataset has this name or version (2004).
        InvalidDataset: its files are gone or have changed, or the name is nearly one that is
            registered (0018).
    """
    if given.exists():
        return given
    found = registered_dataset(str(given))
    return given if found is None else found.path_or_unpacked(progress=terminal.progress)


def model_path(given: str) -> str:
    """Return the files that MODEL means: a path, `imagenet`, or those of a registered model.

    Raises:
        NotFound: no model has this name or version (2004).
        InvalidModel: the name is nearly one that is registered (0159).
    """
    if given == _READY_MODEL or Path(given).exists():
        return given
    found = registered_model(given)
    return given if found is None else str(current_workspace().models.path_of(found))


def ready_model(given: Path) -> Path:
    """Return a path as it is, and the folder of the ready model for its name."""
    if str(given) != _READY_MODEL or given.exists():
        return given
    from calotype.models.imagenet import make_once

    return make_once()


def model_folder(given: Path) -> Path:
    """Return the folder that a script finds as AZUREML_MODEL_DIR: a path, or a registered model.

    Raises:
        NotFound: no model has this name or version (2004).
        InvalidModel: the name is nearly one that is registered (0159).
    """
    found = None if given.exists() else registered_model(str(given))
    return given if found is None else current_workspace().models.folder_of(found)


def registered_dataset(given: str) -> RegisteredDataset | None:
    """Return the dataset that is meant; None when it can only be a path."""
    reference, workspace = _meant(given, "dataset")
    if workspace is None:
        return None
    known = workspace.datasets.names()
    if _is_sure(given, reference) or reference in known:
        return workspace.datasets.find(reference)
    if hint := errors.suggest(reference, known):
        raise errors.InvalidDataset(
            "expected a path or a registered dataset", where=given, got="neither", action=hint
        )
    return None


def registered_model(given: str) -> RegisteredModel | None:
    """Return the model that is meant; None when it can only be a path."""
    reference, workspace = _meant(given, "model")
    if workspace is None:
        return None
    known = workspace.models.names()
    if _is_sure(given, reference) or reference in known:
        return workspace.models.find(reference)
    if hint := errors.suggest(reference, known):
        raise errors.InvalidModel(
            "expected a path or a registered model", where=given, got="neither", action=hint
        )
    return None


def register_option(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add `--register NAME`: what the command makes becomes a version of that name.

    The value is checked at once, and the workspace opened: not after hours of work.
    """
    return click.option(
        "--register",
        metavar="NAME",
        callback=_check_name,
        help=f"Register {what} in the workspace under this name.",
    )


def _check_name(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        from calotype.workspace.naming import check_name

        check_name(value, kind="dataset or model")
    return value


def announce(terminal: Terminal, registered: RegisteredDataset | RegisteredModel) -> dict[str, Any]:
    """Say that something was registered, and return what belongs into the command's document."""
    terminal.progress.say(f"Registered as {registered.id}.")
    return {"registered": registered.id}


def _meant(given: str, kind: Kind) -> tuple[str, Workspace | None]:
    """Return the reference in what was typed, and the workspace where it may be found."""
    from calotype.workspace.naming import is_name

    prefix = f"{kind}:"
    if given.startswith(prefix):
        return given.removeprefix(prefix), current_workspace()
    if not is_name(given.partition(":")[0]):
        return given, None
    try:
        return given, current_workspace()
    except errors.NotFound:
        return given, None


def _is_sure(given: str, reference: str) -> bool:
    return given != reference or ":" in reference
