"""Deployment configurations as JSON documents have them, in the retired CLI's camel case.

`configuration_of` and `document_of` are each other's reverse. A configuration gives the settings
of the workspace with `access()` and `runtime()`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from calotype.webservice import configuration_checks as checks
from calotype.webservice.batch_configuration import BatchConfiguration
from calotype.webservice.cluster_configuration import ClusterConfiguration
from calotype.webservice.deployment_configuration import DeploymentConfiguration
from calotype.webservice.deployment_parameters import BY_KEY, BY_NAME, problems_of
from calotype.webservice.endpoint_configuration import EndpointConfiguration
from calotype.webservice.instance_configuration import InstanceConfiguration
from calotype.webservice.local_configuration import LocalConfiguration
from calotype.webservice.parameter_wording import Words, as_written, flat, hint, keys_of

KINDS: Final[Mapping[str, type[DeploymentConfiguration]]] = {
    "local": LocalConfiguration,
    "instance": InstanceConfiguration,
    "aci": InstanceConfiguration,
    "cluster": ClusterConfiguration,
    "aks": ClusterConfiguration,
    "aksendpoint": EndpointConfiguration,
    "endpoint": EndpointConfiguration,
    "batch": BatchConfiguration,
}
_FILES: Final = ("ssl_cert_pem_file", "ssl_key_pem_file")


def document_of(configuration: DeploymentConfiguration) -> dict[str, Any]:
    """Return a configuration as JSON has it; what was not given is left out."""
    document: dict[str, Any] = {"computeType": configuration.compute_type}
    for name, value in configuration.values.items():
        if value is None:
            continue
        *parents, last = BY_NAME[name].key.split(".")
        place = document
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = list(value) if isinstance(value, tuple) else value
    return document


def configuration_of(
    document: Mapping[str, Any],
    *,
    where: str = "",
    folder: Path | None = None,
    words: Words | None = None,
) -> DeploymentConfiguration:
    """Return the configuration that a document describes.

    Args:
        document: with `computeType` and what `PARAMETERS` names.
        where: it stands, for the message.
        folder: what names of files are relative to; the working folder when left out.
        words: what the parameters are called in messages; as the document has them when left out.

    Raises:
        WebserviceException: with all faults of the document in one message.
    """
    words = words or keys_of(document)
    kind, problems = _kind(document)
    values, unknown = _values(document)
    problems += unknown
    accepted = {item.name for item in dataclasses.fields(kind)}
    for name in values.keys() - accepted:
        problems.append(f"{words[name]} is not for {kind.compute_type}")
        del values[name]
    for name in _FILES:
        if folder is not None and isinstance(values.get(name), str):
            values[name] = str(folder / values[name])
    problems += [as_written(told, words) for told in _of_values(kind, values)]
    checks.refuse(problems, what=f"a deployment configuration{f' in {where}' if where else ''}")
    return kind(**values)


def _kind(document: Mapping[str, Any]) -> tuple[type[DeploymentConfiguration], list[str]]:
    said = document.get("computeType")
    kind = KINDS.get(str(said).lower())
    if kind is not None:
        return kind, []
    return ClusterConfiguration, [f"computeType must be one of {', '.join(KINDS)}, not {said!r}"]


def _values(document: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters of a document by name, and what is wrong with its keys."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in flat(document):
        parameter = BY_KEY.get(key)
        if parameter is not None:
            values[parameter.name] = value
        elif key != "computeType":
            problems.append(f"{key} is not known. {hint(key)}".rstrip(". "))
    return values, problems


def _of_values(kind: type[DeploymentConfiguration], values: dict[str, Any]) -> list[str]:
    alone = problems_of(values)
    sane = {name: value for name, value in values.items() if not BY_NAME[name].problem(value)}
    together = _unchecked(kind, sane).problems()
    return alone + together


def _unchecked(
    kind: type[DeploymentConfiguration], values: dict[str, Any]
) -> DeploymentConfiguration:
    """Return a configuration whose faults nobody has raised yet."""
    made = kind.__new__(kind)
    for item in dataclasses.fields(kind):
        setattr(made, item.name, values.get(item.name))
    return made
