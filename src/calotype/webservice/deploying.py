"""From what `Model.deploy` gets to what management does."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from calotype import errors
from calotype.hosting.management import DeployRequest, Management
from calotype.webservice.configuration_checks import check_service_name
from calotype.webservice.deployment_configuration import DeploymentConfiguration
from calotype.webservice.deployment_documents import document_of
from calotype.webservice.endpoint_configuration import EndpointConfiguration
from calotype.webservice.exceptions import ModelNotFound, WebserviceException, told_as
from calotype.webservice.inference_config import InferenceConfig
from calotype.webservice.instance_configuration import InstanceConfiguration
from calotype.webservice.model import Model
from calotype.webservice.replicated_configuration import ReplicatedConfiguration
from calotype.workspace.service_settings import Inference, RuntimeSettings
from calotype.workspace.services import ONLY_VERSION, Revision
from calotype.workspace.workspace import Workspace

if TYPE_CHECKING:
    from calotype.webservice.compute import ClusterCompute
    from calotype.webservice.webservice import Webservice


def deploy(
    workspace: Workspace,
    name: str,
    models: Sequence[Model | str],
    inference_config: InferenceConfig | None = None,
    deployment_config: DeploymentConfiguration | None = None,
    deployment_target: ClusterCompute | None = None,
    *,
    overwrite: bool = False,
    show_output: bool = False,
) -> Webservice:
    """Make a service and return it; see `Model.deploy`."""
    from calotype.webservice.webservice import Webservice

    check_service_name(name)
    configuration = _configuration(deployment_config, deployment_target)
    references = references_of(models)
    inference = Inference()
    if inference_config is not None:
        is_local = configuration.target == "local"
        inference = inference_config.build(workspace, is_local=is_local)
    _deploy(
        workspace,
        name,
        references,
        inference,
        configuration,
        deployment_target,
        overwrite=overwrite,
    )
    service = Webservice(workspace, name)
    if show_output:
        service.wait_for_deployment(show_output=True)
    return service


def deploy_as(
    workspace: Workspace,
    name: str | None,
    old_name: str,
    wanted: Revision,
    deployment_config: DeploymentConfiguration | None,
    deployment_target: ClusterCompute | None,
) -> Webservice:
    """Make a service of the models and the script of another one."""
    from calotype.webservice.webservice import Webservice

    configuration = _configuration(deployment_config, deployment_target)
    chosen = name or f"{old_name}-{configuration.target}"
    check_service_name(chosen)
    inference = wanted.inference.model_copy(update={"live_source": ""})
    _deploy(workspace, chosen, wanted.models, inference, configuration, deployment_target)
    return Webservice(workspace, chosen)


def references_of(models: Sequence[Model | str] | None) -> tuple[str, ...]:
    """Return `name:version` of models, or what was given as text.

    Raises:
        WebserviceException: there is something else among them.
    """
    given = [models] if isinstance(models, Model | str) else list(models or ())
    for one in given:
        if not isinstance(one, Model | str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise WebserviceException(
                "expected registered models",
                where="models",
                got=repr(one),
                action="Use Model.register, or Model(workspace, name).",
            )
    return tuple(one if isinstance(one, str) else one.id for one in given)


def describe(
    models: Sequence[Model | str],
    inference_config: InferenceConfig | None,
    deployment_config: DeploymentConfiguration | None,
) -> str:
    """Return what a deployment would be made of, as JSON without keys."""
    inference: dict[str, Any] = {}
    if inference_config is not None:
        environment = inference_config.environment
        inference = {
            "entryScript": inference_config.entry_script,
            "sourceDirectory": inference_config.source_directory,
            "environment": environment.definition().to_document() if environment else None,
        }
    deployment = document_of(deployment_config or InstanceConfiguration())
    deployment.pop("keys", None)
    told = {
        "models": list(references_of(models)),
        "inferenceConfig": inference,
        "deploymentConfig": deployment,
    }
    return json.dumps(told, indent=2)


def _deploy(
    workspace: Workspace,
    name: str,
    references: tuple[str, ...],
    inference: Inference,
    configuration: DeploymentConfiguration,
    target: ClusterCompute | None,
    *,
    overwrite: bool = False,
) -> None:
    with told_as(not_found=ModelNotFound):
        request = _request(workspace, name, references, inference, configuration)
        if target is not None:
            access = request.access.model_copy(update={"compute": target.name})
            request = dataclasses.replace(request, access=access)
        Management(workspace).deploy(dataclasses.replace(request, overwrite=overwrite))


def _configuration(
    configuration: DeploymentConfiguration | None, target: ClusterCompute | None
) -> DeploymentConfiguration:
    from calotype.webservice.cluster_configuration import ClusterConfiguration

    if configuration is None:
        return InstanceConfiguration() if target is None else ClusterConfiguration()
    if target is not None and not isinstance(configuration, ReplicatedConfiguration):
        raise WebserviceException(
            "expected a configuration of ClusterWebservice for a cluster",
            where="deployment_config",
            got=type(configuration).__name__,
            action="Leave deployment_target out, or use ClusterWebservice.deploy_configuration.",
        )
    return configuration


def _request(
    workspace: Workspace,
    name: str,
    references: tuple[str, ...],
    inference: Inference,
    configuration: DeploymentConfiguration,
) -> DeployRequest:
    is_endpoint = isinstance(configuration, EndpointConfiguration)
    said = configuration.values
    share = said.get("traffic_percentile")
    return DeployRequest(
        name,
        configuration.target,
        models=references,
        inference=inference,
        access=configuration.access(),
        runtime=_runtime(workspace, references, configuration),
        description=said.get("description") or inference.description or "",
        tags=dict(said.get("tags") or {}),
        properties=dict(said.get("properties") or {}),
        primary_key=said.get("primary_key"),
        secondary_key=said.get("secondary_key"),
        is_endpoint=is_endpoint,
        version=said.get("version_name") or ONLY_VERSION,
        traffic_percent=100 if share is None else share,
    )


def _runtime(
    workspace: Workspace, references: tuple[str, ...], configuration: DeploymentConfiguration
) -> RuntimeSettings:
    """Return the settings; what was not given comes from what the models say that they need."""
    from calotype.webservice.resource_configuration import ResourceConfiguration

    runtime = configuration.runtime()
    said = configuration.values
    needed: dict[str, Any] = {}
    for reference in references:
        try:
            found = workspace.models.find(reference).details.get("resources")
        except errors.NotFound:  # management tells it better
            continue
        needed |= ResourceConfiguration.of(found).runtime() if found else {}
    missing = {key: value for key, value in needed.items() if said.get(key) is None}
    return runtime.model_copy(update=missing)
