"""Models and scripts as commands name them: registered, or files that are registered on the way."""

from __future__ import annotations

import re
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calotype import errors
from calotype.cli.terminal import Terminal

if TYPE_CHECKING:
    from calotype.webservice.deployment_files import InferenceFile
    from calotype.webservice.environment import Environment
    from calotype.workspace.service_settings import Inference
    from calotype.workspace.workspace import Workspace


_KEYS = {"entry_script": "entryScript", "source_directory": "sourceDirectory"}
_IN_FILE = "set environment.python.interpreterPath to a Python that has them"
_AS_COMMAND = "name a Python that has them: `calotype environment register NAME --python PATH`"
_READY_MODEL = "imagenet"  # as for `calotype serve --model`


def models_of(terminal: Terminal, workspace: Workspace, given: Sequence[str]) -> tuple[str, ...]:
    """Return references to registered models; a path is registered first, and told."""
    return tuple(_model(terminal, workspace, one) for one in given)


def are_paths(given: Sequence[str]) -> bool:
    """Whether one of the models would have to be registered."""
    return any(one == _READY_MODEL or Path(one).exists() for one in given)


def _model(terminal: Terminal, workspace: Workspace, given: str) -> str:
    path = Path(given)
    if given == _READY_MODEL and not path.exists():
        return _ready_model(terminal, workspace)
    is_name = re.fullmatch(r"[\w.-]+(:\d+)?", given) is not None
    if is_name:
        try:
            return workspace.models.find(given).id
        except errors.NotFound:
            if not path.exists():
                raise
    if not path.exists():
        raise errors.NotFound(
            "expected a registered model, or its file or folder",
            where="-m",
            got=f"'{given}'",
            action="`calotype model list` shows all that are registered.",
        )
    name = re.sub(r"[^\w.-]+", "-", path.resolve().stem).strip("-.") or "model"
    registered = workspace.models.register(path, name)
    terminal.progress.say(f"Registered {given} as model {registered.id}.")
    return registered.id


def _ready_model(terminal: Terminal, workspace: Workspace) -> str:
    try:
        return workspace.models.find(_READY_MODEL).id
    except errors.NotFound:
        from calotype.models.imagenet import make_once

        registered = workspace.models.register(make_once(), _READY_MODEL)
        terminal.progress.say(f"Registered the ready model as {registered.id}.")
        return registered.id


def inference_of(
    terminal: Terminal,
    workspace: Workspace,
    *,
    inference_file: Path | None,
    entry_script: str | None,
    source_directory: Path | None,
    environment: str | None,
    is_local: bool,
) -> Inference | None:
    """Store what an inferenceconfig.json and options name; None when they name nothing.

    Raises:
        UsageError: an option needs another one.
        CalotypeError: something does not exist, or cannot be used.
    """
    from calotype.webservice.deployment_files import read_inference
    from calotype.webservice.inference_config import InferenceConfig

    said = read_inference(inference_file) if inference_file else None
    for warning in said.warnings if said else ():
        terminal.progress.say(f"note: {warning}")
    script = entry_script or (said.entry_script if said else None)
    source = source_directory or (said.source_directory if said else None)
    if script is None:
        if source or environment:
            raise click.UsageError("--source-directory and -e belong to --entry-script.")
        return None
    given = {"entry_script": entry_script, "source_directory": source_directory}
    by_option = {name for name, value in given.items() if value is not None}
    with told(terminal, said), _in_words_of(inference_file, by_option, said):
        configuration = InferenceConfig(
            entry_script=script,
            source_directory=source,
            environment=_environment(workspace, environment, said, str(inference_file)),
            description=(said.description if said else None) or None,
        )
        return configuration.build(workspace, is_local=is_local)


@contextmanager
def _in_words_of(
    file: Path | None, by_option: set[str], said: InferenceFile | None
) -> Generator[None]:
    """Name in errors the option, or the key of the file, that says what is wrong."""
    try:
        yield
    except errors.CalotypeError as error:
        name = error.where.removeprefix("InferenceConfig, ")
        if name in _KEYS:
            is_option = file is None or name in by_option
            option = f"--{name.replace('_', '-')}"
            error.where = option if is_option else f"{file}: {_KEYS[name]}"
        error.action = _advice(error.action, said)
        raise


def _advice(text: str, said: InferenceFile | None) -> str:
    """Return advice about a Python for who has a file or a command, not the SDK."""
    from calotype.webservice.required_packages import BUILD_PYTHON

    is_in_file = said is not None and isinstance(said.environment, dict)
    return text.replace(BUILD_PYTHON, _IN_FILE if is_in_file else _AS_COMMAND)


@contextmanager
def told(terminal: Terminal, said: InferenceFile | None = None) -> Generator[None]:
    """Say as notes what is warned about within; `said` has what it is about."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for one in caught:
        terminal.progress.say(f"note: {_advice(str(one.message), said)}")


def _environment(
    workspace: Workspace, named: str | None, said: InferenceFile | None, where: str
) -> Environment | None:
    from calotype.webservice.environment import Environment
    from calotype.webservice.environment_documents import environment_of

    wanted: str | dict[str, Any] | None = named or (said.environment if said else None)
    if not wanted:
        path = said.conda_file if said else None
        return path and Environment.from_conda_specification("from-conda-file", path)
    if isinstance(wanted, dict):
        return Environment.from_definition(environment_of(wanted, where=where))
    name, _, version = wanted.partition(":")
    return Environment.get(workspace, name, version=version or None)
