"""Models and source of a revision as files, where its replicas find them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype import errors
from calotype.workspace.unpacked import take_place

if TYPE_CHECKING:
    from calotype.workspace.registered_model import RegisteredModel
    from calotype.workspace.service_settings import Inference
    from calotype.workspace.services import Revision
    from calotype.workspace.workspace import Workspace

MODELS: Final = "azureml-models"
SOURCE: Final = "source"
MOST_LISTED: Final = 200  # files, in an error


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What the replicas of a revision run.

    Attributes:
        kind: "script", "image" or "onnx".
        model: image model or ONNX file, without a script.
        script, source_directory: an entry script.
        model_directory: what it finds as AZUREML_MODEL_DIR.
        variables: further environment variables of it.
    """

    kind: str
    model: str = ""
    script: str = ""
    source_directory: str = ""
    model_directory: str = ""
    variables: dict[str, str] = field(default_factory=dict[str, str])


def unpack(workspace: Workspace, revision: Revision, folder: Path) -> Unpacked:
    """Write what a revision needs below `folder`; what is there already stays.

    Raises:
        NotFound: a model has been deleted.
        CorruptWorkspace: a file is damaged.
        CannotWrite: the folder cannot be written.
        CalotypeError: nothing of ours can serve these models without a script.
    """
    models = [workspace.models.find(reference) for reference in revision.models]
    places = unpack_models(workspace, models, folder)
    directory = model_directory(folder, places)
    directory.mkdir(parents=True, exist_ok=True)
    if revision.inference.entry_script:
        return _script(workspace, revision, folder, directory)
    return _without_script(revision, models, places)


def unpack_models(
    workspace: Workspace, models: Sequence[RegisteredModel], folder: Path
) -> list[Path]:
    """Write models to where scripts look for them; return these places."""
    places = [folder / MODELS / model.name / str(model.version) for model in models]
    for model, place in zip(models, places, strict=True):
        _once(workspace, model.artifact, place)
    return places


def model_directory(folder: Path, places: Sequence[Path]) -> Path:
    """Return AZUREML_MODEL_DIR: the folder of the only model, or the one with all of them."""
    return places[0] if len(places) == 1 else folder / MODELS


def unpack_source(workspace: Workspace, inference: Inference, folder: Path) -> Path:
    """Return the folder of an entry script, as it was stored.

    What was stored goes before the folder that it came from: a revision never changes.
    """
    if not inference.source:
        return Path(inference.live_source)
    _once(workspace, inference.source, folder / SOURCE)
    return folder / SOURCE


def _once(workspace: Workspace, artifact: str, folder: Path) -> None:
    """Unpack a tree; of two that begin at the same time, one finds it there."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as own:
        workspace.artifacts.unpack(artifact, Path(own) / "files")
        take_place(Path(own) / "files", folder)


def _script(workspace: Workspace, revision: Revision, folder: Path, models: Path) -> Unpacked:
    inference = revision.inference
    source = unpack_source(workspace, inference, folder)
    return Unpacked(
        "script",
        script=str(source / inference.entry_script),
        source_directory=str(source),
        model_directory=str(models),
    )


def _without_script(
    revision: Revision, models: list[RegisteredModel], places: list[Path]
) -> Unpacked:
    if len(models) != 1:
        raise _needs_script(f"{len(models)} models")
    model, place = models[0], places[0]
    if model.kind == "image":
        packed = sorted(place.glob("*.calotype"))
        return Unpacked("image", model=str(packed[0] if packed else place))
    if found := sorted(place.rglob("*.onnx")):
        if len(found) > 1:
            raise _needs_script(f"{len(found)} .onnx files")
        return Unpacked("onnx", model=str(found[0]))
    if model.framework != "ScikitLearn" and model.kind != "sklearn":
        raise _needs_script(f"a model of framework {model.framework}")
    from calotype.serving.no_code.sklearn_script import script_for

    inside = [path for path in place.iterdir() if path.is_dir()]
    entry = script_for(
        inside[0] if len(inside) == 1 and not any(place.glob("*.*")) else place,
        allow_pickle=revision.runtime.allow_pickle,
    )
    return Unpacked(
        "script",
        script=str(entry.script),
        source_directory=str(entry.script.parent),
        model_directory=str(entry.model_dir),
        variables=dict(entry.environment),
    )


def _needs_script(got: str) -> errors.CalotypeError:
    return errors.NotSupported(
        "expected one image model, ONNX file or scikit-learn model, or an entry script",
        where="the deployment",
        got=got,
        action="Give an entry script with `init` and `run`.",
    )


def listing(folder: Path) -> str:
    """Return the files below a folder, a line each, for who has to find out what went wrong."""
    lines: list[str] = []
    with contextlib.suppress(OSError):
        for path in sorted(folder.rglob("*")):
            if len(lines) == MOST_LISTED:
                lines.append("…")
                break
            if path.is_file():
                lines.append(f"{path.relative_to(folder)} ({path.stat().st_size:,} bytes)")
    return "\n".join(lines) or "(no files)"
