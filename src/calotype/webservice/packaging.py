"""Making a package: a folder that serves models without the workspace they come from."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from calotype import errors, files
from calotype.hosting.management.checking import check_inference, resolved
from calotype.hosting.unpacking import MODELS, SOURCE
from calotype.serving.no_code.sklearn_script import PICKLE_SUFFIXES, SAFE_SUFFIX
from calotype.webservice import package_files
from calotype.webservice.package_files import PackageContent
from calotype.workspace.environments import EnvironmentDefinition
from calotype.workspace.registered_model import RegisteredModel
from calotype.workspace.service_settings import Inference, RuntimeSettings
from calotype.workspace.workspace import Workspace

_NAME_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789-"


def write_package(
    workspace: Workspace,
    models: Sequence[str],
    inference: Inference,
    out: Path,
    *,
    name: str = "",
    workers: int = 1,
    allow_pickle: bool = False,
    wheels: Sequence[Path] = (),
    more_steps: str = "",
) -> PackageContent:
    """Write a folder with everything that serves models, and a Dockerfile that does.

    Args:
        workspace: where the models are.
        models: `name` or `name:version` of registered models.
        inference: script, source and environment; empty to serve the model without code.
        out: the folder; new or empty.
        name: of the service; made of the first model's when left out.
        workers: processes that run an entry script.
        allow_pickle: trust a model that is a pickle.
        wheels: files that pip shall find beside its index.
        more_steps: further lines of the Dockerfile.

    Raises:
        NotFound: a model does not exist.
        InvalidModel: the models cannot be served without a script.
        AlreadyExists: `out` holds something.
    """
    references = resolved(workspace, models)
    runtime = RuntimeSettings(workers=workers, allow_pickle=allow_pickle)
    check_inference(workspace, references, inference, runtime)
    _check_free(out)
    registered = [workspace.models.find(reference) for reference in references]
    with files.folder_aside(out) as folder:
        for model in registered:
            workspace.models.unpack(model, folder / MODELS / model.name / str(model.version))
        if inference.entry_script:
            content = _of_script(workspace, registered, inference, folder, workers=workers)
        else:
            content = _of_model(registered[0], folder, allow_pickle=allow_pickle)
        first = registered[0].name if registered else Path(inference.entry_script).stem
        content = replace(content, name=name or service_name(first), more_steps=more_steps)
        _write_texts(content, folder, wheels)
    return content


def service_name(name: str) -> str:
    """Return the name of a service that is like that of a model.

    >>> service_name("My_Model.v2")
    'my-model-v2'
    """
    plain = "".join(one if one in _NAME_CHARACTERS else "-" for one in name.lower())
    plain = plain.lstrip("0123456789-")[:32].rstrip("-")
    return plain if len(plain) > 2 else f"service-{plain}".rstrip("-")


def _check_free(out: Path) -> None:
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise errors.AlreadyExists(
            "expected a new folder, or an empty one",
            where=str(out),
            action="Choose another folder, or delete this one.",
        )


def _of_script(
    workspace: Workspace,
    models: Sequence[RegisteredModel],
    inference: Inference,
    folder: Path,
    *,
    workers: int,
) -> PackageContent:
    source = folder / SOURCE
    if inference.source:
        workspace.artifacts.unpack(inference.source, source)
    else:
        shutil.copytree(inference.live_source, source)
    document = dict(inference.environment)
    environment = EnvironmentDefinition.of_document(document) if document else None
    directory = MODELS if len(models) != 1 else f"{MODELS}/{models[0].name}/{models[0].version}"
    of_models = ("--model-dir", directory) if models else ()
    serve = ("--entry-script", f"{SOURCE}/{inference.entry_script}", "--source-directory", SOURCE)
    return PackageContent(
        "",
        tuple(model.id for model in models),
        (MODELS, SOURCE) if models else (SOURCE,),
        (*serve, *of_models, "--workers", str(workers)),
        needs=("scripts",),
        environment=environment,
    )


def _of_model(model: RegisteredModel, folder: Path, *, allow_pickle: bool) -> PackageContent:
    place = folder / MODELS / model.name / str(model.version)
    served, needs = place, tuple[str, ...]()
    if model.kind == "image":
        served = next(iter(sorted(place.glob("*.calotype"))), place)
    else:
        suffixes = (".onnx", SAFE_SUFFIX, *(PICKLE_SUFFIXES if allow_pickle else ()))
        found = [path for path in sorted(place.rglob("*")) if path.suffix.lower() in suffixes]
        served = found[0]
        needs = () if served.suffix.lower() == ".onnx" else ("sklearn",)
    serve = ("--model", served.relative_to(folder).as_posix())
    return PackageContent(
        "",
        (model.id,),
        (MODELS,),
        (*serve, "--allow-pickle") if allow_pickle and needs else serve,
        needs=needs,
    )


def _write_texts(content: PackageContent, folder: Path, wheels: Sequence[Path]) -> None:
    (folder / package_files.WHEELS).mkdir()
    (folder / package_files.WHEELS / ".keep").touch()  # so that COPY finds something
    for wheel in wheels:
        shutil.copy(wheel, folder / package_files.WHEELS)
    texts = {
        "Dockerfile": package_files.dockerfile(content),
        package_files.REQUIREMENTS: package_files.requirements(content),
        "README.md": package_files.readme(content),
        ".dockerignore": "README.md\n**/__pycache__\n",
    }
    for name, text in texts.items():
        files.write_text(folder / name, text)
