"""Environments as the retired service wrote them in JSON: with sections for Python and Docker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from calotype import errors
from calotype.webservice.conda_dependencies import CondaDependencies
from calotype.workspace.environments import EnvironmentDefinition

_KNOWN = (
    "name",
    "version",
    "python",
    "docker",
    "environmentVariables",
    "spark",
    "r",
    "inferencingStackVersion",
    "assetId",
)
_PYTHON = (
    "interpreterPath",
    "userManagedDependencies",
    "condaDependencies",
    "condaDependenciesFile",
    "baseCondaEnvironment",
)


def environment_of(document: Mapping[str, Any], *, where: str) -> EnvironmentDefinition:
    """Return the environment that a document describes.

    Args:
        document: as in `inferenceconfig.json`, or as `Environment.save_to_directory` writes it.
        where: it stands, for the message.

    Raises:
        UnparsableFile: with all that is wrong with it, by key.
    """
    if "python" not in document and "docker" not in document:
        plain = {"environmentVariables": "environment_variables"}
        said = {plain.get(key, key): value for key, value in document.items()}
        return EnvironmentDefinition.of_document({"name": "unnamed", **said, "version": None})
    problems = list(_problems(document))
    if problems:
        raise errors.UnparsableFile(
            "expected an environment without faults", where=where, got="; ".join(problems)
        )
    python, docker = document.get("python") or {}, document.get("docker") or {}
    listed = python.get("condaDependencies") or {}
    if not listed and (named := python.get("condaDependenciesFile")):
        listed = _conda_file(str(named), where)
    conda, pip = _packages(listed.get("dependencies") or [])
    version = next((one.partition("=")[2] for one in conda if one.startswith("python=")), "")
    interpreter = str(python.get("interpreterPath") or "")
    return EnvironmentDefinition(
        name=str(document.get("name") or "unnamed"),
        # `python` alone is whatever is on the path: our own.
        interpreter=interpreter if "/" in interpreter else "",
        python_version=version.lstrip("="),
        pip_requirements=tuple(one for one in pip if not one.startswith("-")),
        pip_options=tuple(one for one in pip if one.startswith("-")),
        conda_dependencies=tuple(
            one for one in conda if one != "python" and not one.startswith("python=")
        ),
        conda_channels=tuple(listed.get("channels") or ()),
        is_user_managed=bool(python.get("userManagedDependencies")),
        environment_variables={
            str(name): str(value)
            for name, value in (document.get("environmentVariables") or {}).items()
        },
        base_image=str(docker.get("baseImage") or ""),
        dockerfile=str(docker.get("baseDockerfile") or ""),
    )


def _conda_file(name: str, where: str) -> dict[str, Any]:
    """Return what a conda file lists that lies beside the document, or in the working folder."""
    places = (Path(where).parent / name, Path(name))
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise errors.UnparsableFile(
            "expected an environment without faults",
            where=where,
            got=f"python.condaDependenciesFile: there is no {places[0].absolute()}",
        )
    return CondaDependencies(path).to_document()


def _packages(dependencies: list[Any]) -> tuple[list[str], list[str]]:
    conda: list[str] = []
    pip: list[str] = []
    for entry in dependencies:
        if isinstance(entry, str):
            conda.append(entry)
        else:
            pip += entry.get("pip") or []
    return conda, pip


def _problems(document: Mapping[str, Any]) -> Iterator[str]:
    for key in document.keys() - set(_KNOWN):
        yield f"environment.{key}: expected a known key. {errors.suggest(key, _KNOWN)}".rstrip(". ")
    for key in ("python", "docker", "environmentVariables"):
        if not isinstance(document.get(key) or {}, dict):
            yield f"environment.{key}: expected an object"
            return
    python = document.get("python") or {}
    for key in python.keys() - set(_PYTHON):
        hint = errors.suggest(key, _PYTHON)
        yield f"environment.python.{key}: expected a known key. {hint}".rstrip(". ")
    conda = python.get("condaDependencies") or {}
    entries = conda.get("dependencies", []) if isinstance(conda, dict) else None
    if not isinstance(entries, list) or not all(_is_entry(entry) for entry in entries):
        yield (
            "environment.python.condaDependencies.dependencies: expected a list of packages, and "
            'of {"pip": [packages]}'
        )


def _is_entry(entry: Any) -> bool:
    if isinstance(entry, str):
        return True
    packages = entry.get("pip") if isinstance(entry, dict) and set(entry) == {"pip"} else None
    return isinstance(packages, list) and all(isinstance(one, str) for one in packages)
