"""The models and the script of a batch service on disk, unpacked once for all its jobs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from calotype import errors
from calotype.hosting.batch.worker_client import BatchScript
from calotype.hosting.layout import Layout
from calotype.workspace.environments import EnvironmentDefinition
from calotype.workspace.model_registry import RegisteredModel
from calotype.workspace.service_settings import Inference, RuntimeSettings
from calotype.workspace.services import Revision
from calotype.workspace.unpacked import take_place
from calotype.workspace.workspace import Workspace

MODELS: Final = "azureml-models"
SOURCE: Final = "source"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a revision of a service runs, ready on disk.

    Attributes:
        model: what a script finds as AZUREML_MODEL_DIR, and the folder of the only model.
        script: None without one.
        identity: of models and script.
    """

    model: Path
    runtime: RuntimeSettings
    script: BatchScript | None = None
    identity: dict[str, Any] = field(default_factory=dict[str, Any])


def prepare(workspace: Workspace, service: str, version: str, number: int) -> Prepared:
    """Unpack a revision of a service, unless that was done.

    Raises:
        NotFound: the service, the version or a model is gone.
        CorruptWorkspace: a file is damaged.
    """
    revision = workspace.services.get(service).version(version).revision(number)
    folder = Layout.of(workspace.place).revision(service, version, number)
    models = [workspace.models.find(reference) for reference in revision.models]
    for model in models:
        _once(folder / MODELS / model.name / str(model.version), workspace, model.artifact)
    if not revision.inference.entry_script:
        return Prepared(_only(folder, models), revision.runtime)
    if revision.inference.source:
        _once(folder / SOURCE, workspace, revision.inference.source)
    script = _script(folder, models, revision)
    return Prepared(
        script.model_directory or folder,
        revision.runtime,
        script,
        {
            "models": [f"{model.id} {model.artifact}" for model in models],
            "script": revision.inference.source or str(script.script),
            "entry_script": revision.inference.entry_script,
        },
    )


def model_directory(folder: Path, models: list[RegisteredModel]) -> Path | None:
    """Return AZUREML_MODEL_DIR: the folder of the only model, or the one with all of them."""
    if not models:
        return None
    if len(models) == 1:
        return folder / MODELS / models[0].name / str(models[0].version)
    return folder / MODELS


def _once(folder: Path, workspace: Workspace, artifact: str) -> None:
    """Unpack a tree; of two jobs that begin at the same time, one finds it there."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as own:
        workspace.artifacts.unpack(artifact, Path(own) / "files")
        take_place(Path(own) / "files", folder)


def _only(folder: Path, models: list[RegisteredModel]) -> Path:
    if len(models) != 1:
        raise errors.NotSupported(
            "expected one image model, or a script with run(mini_batch)",
            where="batch service",
            got=f"{len(models)} models and no script",
            action="Give the service an entry script.",
        )
    directory = model_directory(folder, models)
    assert directory is not None
    return directory


def _script(folder: Path, models: list[RegisteredModel], revision: Revision) -> BatchScript:
    inference: Inference = revision.inference
    source = Path(inference.live_source) if not inference.source else folder / SOURCE
    document = dict(inference.environment)
    environment = EnvironmentDefinition.of_document(document) if document else None
    return BatchScript(
        source / inference.entry_script,
        source,
        model_directory(folder, models),
        environment.interpreter if environment else "",
        environment.environment_variables if environment else {},
    )
