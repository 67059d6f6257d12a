"""`inferenceconfig.json` and `deploymentconfig.json`, as the retired CLI took them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from calotype import errors, files
from calotype.hosting.management.request import DeployRequest
from calotype.webservice.deployment_parameters import BY_KEY, BY_NAME, access_of, runtime_of
from calotype.webservice.parameter_wording import Words, as_written, flat, hint, told_in, words_of
from calotype.workspace.service_settings import AccessSettings, Inference, RuntimeSettings
from calotype.workspace.services import ONLY_VERSION

_INFERENCE: Final[Mapping[str, type | tuple[type, ...]]] = {
    "entryScript": str,
    "sourceDirectory": str,
    "environment": (str, dict),
    "condaFile": str,
    "description": str,
}
_PATHS: Final = ("ssl_cert_pem_file", "ssl_key_pem_file")
_OLD: Final[Mapping[str, str]] = {
    "runtime": "Scripts run in Python here",
    "enableGpu": "Say gpu in deploymentconfig.json",
    "cudaVersion": "The CUDA of this machine is used",
    "baseImage": "Say it in the environment",
    "baseImageRegistry": "Nothing is fetched from a registry",
    "extraDockerfileSteps": "Nothing is built; `calotype model package` writes a Dockerfile",
}


@dataclass(frozen=True, slots=True)
class InferenceFile:
    """What an inferenceconfig.json says.

    Attributes:
        entry_script: below the source directory, or a path of its own.
        source_directory: absolute; None when nothing was said.
        environment: `name` or `name:version` of a registered one, or a whole document.
        conda_file: absolute; has its packages, when no environment was said.
        warnings: about keys that have no meaning here, as sentences.
    """

    entry_script: str | None
    source_directory: Path | None
    environment: str | dict[str, Any] | None
    conda_file: Path | None
    description: str
    warnings: tuple[str, ...]


def read_inference(path: Path) -> InferenceFile:
    """Read an inferenceconfig.json; names of files are relative to its own folder.

    Raises:
        UnreadableFile: it cannot be opened.
        UnparsableFile: with all that is wrong with it.
    """
    document = _object(path)
    problems = list(_inference_problems(document))
    if problems:
        raise _faults(path, problems)
    folder = path.absolute().parent
    source = document.get("sourceDirectory")
    script = document.get("entryScript")
    conda = document.get("condaFile")
    if script and source is None and (folder / script).is_file():
        script = str(folder / script)
    directory = None if source is None else _found(folder, source)
    return InferenceFile(
        entry_script=script,
        source_directory=directory,
        environment=document.get("environment"),
        conda_file=_conda_file(path, conda, directory) if conda else None,
        description=document.get("description") or "",
        warnings=tuple(
            f"{path}: '{key}' has no meaning here. {_OLD[key]}."
            for key, value in document.items()
            if key in _OLD and value not in (None, False)
        ),
    )


def read_deployment(path: Path) -> dict[str, Any]:
    """Read a deploymentconfig.json and return its document, whose keys and types are right.

    What the values mean together is checked by `deployment_documents.configuration_of`.

    Raises:
        UnreadableFile: it cannot be opened.
        UnparsableFile: with all that is wrong with it, by key.
    """
    document = _object(path)
    problems = [
        problem for key, value in flat(document) if (problem := _problem(key, value)) is not None
    ]
    if problems:
        raise _faults(path, problems)
    return document


def parameters_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a document sets, by their names in Python."""
    return {BY_KEY[key].name: value for key, value in flat(document) if key in BY_KEY}


def _problem(key: str, value: object) -> str | None:
    if key == "computeType":
        return None if isinstance(value, str) else "computeType: expected text"
    parameter = BY_KEY.get(key)
    if parameter is None:
        return f"{key}: expected a known key. {hint(key)}".rstrip(". ")
    told = parameter.problem(value).removeprefix(parameter.name)
    return f"{key}: {as_written(told, {}).strip()}" if told else None


def _inference_problems(document: Mapping[str, Any]) -> Iterator[str]:
    for key, value in document.items():
        if key in _OLD:
            continue
        expected = _INFERENCE.get(key)
        if expected is None:
            meant = errors.suggest(re.sub(r"_([a-z])", _upper, key), _INFERENCE)
            yield f"{key}: expected a known key. {meant}".rstrip(". ")
        elif value is not None and not isinstance(value, expected):
            wanted = "text or an object" if isinstance(expected, tuple) else "text"
            yield f"{key}: expected {wanted}, not {json.dumps(value)[:80]}"
    if document.get("condaFile") and document.get("environment"):
        yield "condaFile: expected an environment or a conda file, not both"
    if document.get("sourceDirectory") and not document.get("entryScript"):
        yield "entryScript: expected the script in the source directory"


def _upper(found: re.Match[str]) -> str:
    return found[1].upper()


def _conda_file(path: Path, name: str, directory: Path | None) -> Path:
    """Return a conda file below the source directory, beside the file, or from the working folder.

    Raises:
        UnparsableFile: it is not there.
    """
    places = [directory, path.absolute().parent, Path.cwd()]
    for place in places:
        if place is not None and (place / name).is_file():
            return place / name
    looked = " or ".join(str(place) for place in places if place is not None)
    raise _faults(path, [f"condaFile: expected a file that exists, not {name} in {looked}"])


def _found(folder: Path, name: str) -> Path:
    """Return a folder beside the file, or below the working folder, where the old CLI looked."""
    beside = folder / name
    return beside if beside.is_dir() or not Path(name).is_dir() else Path(name).absolute()


def _object(path: Path) -> dict[str, Any]:
    document = files.read_json(path)
    if not isinstance(document, dict):
        raise errors.UnparsableFile(
            "expected a JSON object", where=str(path), got=type(document).__name__
        )
    return document  # pyright: ignore[reportUnknownVariableType]


def _faults(path: Path, problems: list[str]) -> errors.UnparsableFile:
    told = problems[0] if len(problems) == 1 else "".join(f"\n- {text}" for text in problems)
    return errors.UnparsableFile("expected a file without faults", where=str(path), got=told)


def request_of(
    document: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    name: str,
    models: tuple[str, ...],
    inference: Inference | None,
    overwrite: bool = False,
    options: Words | None = None,
    where: str = "",
    folder: Path | None = None,
) -> DeployRequest:
    """Return the request that a document and values of the SDK's parameters describe.

    Args:
        document: as `read_deployment` returns it.
        values: by the names of the SDK, and `auth`; they go before the document.
        name: of the service.
        models: registered ones.
        inference: what runs them.
        overwrite: update in place.
        options: by parameter, what the values were given with, for messages.
        where: the document stands, for messages.
        folder: what names of files in the document are relative to.

    Raises:
        CalotypeError: it cannot be met; with all faults of the document in one message.
    """
    from calotype.webservice.deployment_documents import configuration_of

    said = dict(values)
    auth = said.pop("auth", None)
    words = words_of(document, said, options or {})
    if document["computeType"] == "batch":
        with told_in(words, where=where):
            return _batch_request(
                parameters_of(document) | said,
                name=name,
                models=models,
                inference=inference,
                overwrite=overwrite,
            )
    merged = _with_auth(_merged(document, said), auth)
    configuration = configuration_of(merged, where=where, folder=folder, words=words)
    settings = configuration.values
    with told_in(words, where=where):
        access, runtime = configuration.access(), configuration.runtime()
    if auth is not None:  # management says what a target cannot
        access = access.model_copy(update={"auth": auth})
    share = settings.get("traffic_percentile")
    is_endpoint = "version_name" in settings
    return DeployRequest(
        name,
        configuration.target,
        models=models,
        inference=inference or Inference(),
        access=access,
        runtime=runtime,
        description=settings.get("description") or "",
        tags=dict(settings.get("tags") or {}),
        properties=dict(settings.get("properties") or {}),
        overwrite=overwrite,
        primary_key=settings.get("primary_key"),
        secondary_key=settings.get("secondary_key"),
        is_endpoint=is_endpoint,
        version=settings.get("version_name") or ONLY_VERSION,
        traffic_percent=100 if share is None else share,
    )


def _with_auth(document: dict[str, Any], auth: str | None) -> dict[str, Any]:
    """Return a document whose flags say what `auth` says, where its target has such flags."""
    if auth is None:
        return document
    plain = {
        key: value
        for key, value in document.items()
        if key not in ("authEnabled", "tokenAuthEnabled", "aadAuthEnabled")
    }
    if str(plain["computeType"]).lower() == "local":
        return plain
    return {**plain, "authEnabled": auth == "key"}


def _merged(document: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    merged = json.loads(json.dumps(document))
    for name, value in values.items():
        if value is None:
            continue
        *parents, last = BY_NAME[name].key.split(".")
        place = merged
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = str(Path(value).absolute()) if name in _PATHS else value
    return merged


def _batch_request(
    values: dict[str, Any],
    *,
    name: str,
    models: tuple[str, ...],
    inference: Inference | None,
    overwrite: bool,
) -> DeployRequest:
    return DeployRequest(
        name,
        "batch",
        models=models,
        inference=inference or Inference(),
        access=AccessSettings.of(access_of(values)),
        runtime=RuntimeSettings.of(runtime_of(values)),
        description=values.get("description") or "",
        tags=dict(values.get("tags") or {}),
        properties=dict(values.get("properties") or {}),
        overwrite=overwrite,
        primary_key=values.get("primary_key"),
        secondary_key=values.get("secondary_key"),
    )
