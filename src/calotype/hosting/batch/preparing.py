"""The models and the script of a batch service on disk, unpacked once for all its jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calotype import errors
from calotype.hosting.batch.worker_client import BatchScript
from calotype.hosting.layout import Layout
from calotype.hosting.unpacking import model_directory, unpack_models, unpack_source
from calotype.workspace.environments import EnvironmentDefinition
from calotype.workspace.service_settings import Inference, RuntimeSettings
from calotype.workspace.workspace import Workspace


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
    places = unpack_models(workspace, models, folder)
    if not revision.inference.entry_script:
        return Prepared(_only(places), revision.runtime)
    source = unpack_source(workspace, revision.inference, folder)
    directory = model_directory(folder, places) if places else None
    script = _script(source, directory, revision.inference)
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


def _only(places: list[Path]) -> Path:
    if len(places) != 1:
        raise errors.NotSupported(
            "expected one image model, or a script with run(mini_batch)",
            where="batch service",
            got=f"{len(places)} models and no script",
            action="Give the service an entry script.",
        )
    return places[0]


def _script(source: Path, models: Path | None, inference: Inference) -> BatchScript:
    document = dict(inference.environment)
    environment = EnvironmentDefinition.of_document(document) if document else None
    return BatchScript(
        source / inference.entry_script,
        source,
        models,
        environment.interpreter if environment else "",
        environment.environment_variables if environment else {},
    )
