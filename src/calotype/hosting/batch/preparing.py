"""The models and the script of a batch service on disk, unpacked once for all its jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from calotype.hosting.batch.worker_client import BatchScript
from calotype.hosting.layout import Layout
from calotype.hosting.unpacking import (
    Unpacked,
    model_directory,
    unpack,
    unpack_models,
    unpack_source,
)
from calotype.serving.no_code.sklearn_script import MODEL_FILE
from calotype.workspace.environments import EnvironmentDefinition
from calotype.workspace.service_settings import Inference, RuntimeSettings
from calotype.workspace.services import Revision
from calotype.workspace.workspace import Workspace

_NO_CODE: Final = Path(__file__).parent / "no_code_entry" / "score.py"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a revision of a service runs, ready on disk.

    Attributes:
        model: an image model, when there is no script.
        script: the user's, or ours for models that take rows; None for an image model.
        takes_rows: whether the script is ours.
        identity: of models and script.
    """

    runtime: RuntimeSettings
    model: Path | None = None
    script: BatchScript | None = None
    takes_rows: bool = False
    identity: dict[str, Any] = field(default_factory=dict[str, Any])


def prepare(workspace: Workspace, service: str, version: str, number: int) -> Prepared:
    """Unpack a revision of a service, unless that was done.

    Raises:
        NotFound: the service, the version or a model is gone.
        NotSupported: its models need a script, and there is none.
        CorruptWorkspace: a file is damaged.
    """
    revision = workspace.services.get(service).version(version).revision(number)
    folder = Layout.of(workspace.place).revision(service, version, number)
    models = [workspace.models.find(reference) for reference in revision.models]
    identity = {"models": [f"{model.id} {model.artifact}" for model in models]}
    if not revision.inference.entry_script:
        return _without_script(revision, unpack(workspace, revision, folder), identity)
    places = unpack_models(workspace, models, folder)
    source = unpack_source(workspace, revision.inference, folder)
    directory = model_directory(folder, places) if places else None
    script = _script(source, directory, revision.inference)
    said = {
        **identity,
        "script": revision.inference.source or str(script.script),
        "entry_script": revision.inference.entry_script,
    }
    return Prepared(revision.runtime, script=script, identity=said)


def _without_script(revision: Revision, found: Unpacked, identity: dict[str, Any]) -> Prepared:
    if found.kind == "image":
        return Prepared(revision.runtime, Path(found.model))
    directory, variables = Path(found.model_directory), found.variables
    if found.kind == "onnx":
        directory, variables = Path(found.model).parent, {MODEL_FILE: Path(found.model).name}
    script = BatchScript(_NO_CODE, _NO_CODE.parent, directory, variables=variables)
    return Prepared(revision.runtime, script=script, takes_rows=True, identity=identity)


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
