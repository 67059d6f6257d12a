"""How services were made before `Model.deploy`; an InferenceConfig stands for an image's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from calotype.webservice import unsupported
from calotype.webservice.deploying import deploy as deploy_models
from calotype.webservice.inference_config import InferenceConfig
from calotype.webservice.local_configuration import LocalConfiguration
from calotype.webservice.model import Model
from calotype.workspace.workspace import Workspace

if TYPE_CHECKING:
    from calotype.webservice.compute import ClusterCompute
    from calotype.webservice.deployment_configuration import DeploymentConfiguration
    from calotype.webservice.webservice import Webservice


def deploy_from_model(
    workspace: Workspace,
    name: str,
    models: Sequence[Model],
    image_config: InferenceConfig,
    deployment_config: DeploymentConfiguration | None,
    deployment_target: ClusterCompute | None,
    overwrite: bool,
) -> Webservice:
    """Make a service of registered models."""
    _require_inference(image_config)
    return deploy_models(
        workspace,
        name,
        models,
        image_config,
        deployment_config,
        deployment_target,
        overwrite=overwrite,
    )


def deploy(
    workspace: Workspace,
    name: str,
    model_paths: Sequence[str],
    image_config: InferenceConfig,
    deployment_config: DeploymentConfiguration | None,
    deployment_target: ClusterCompute | None,
    overwrite: bool,
) -> Webservice:
    """Register files under their own names, and make a service of them."""
    _require_inference(image_config)
    models = [Model.register(workspace, path, Path(path).name) for path in model_paths]
    return deploy_models(
        workspace,
        name,
        models,
        image_config,
        deployment_config,
        deployment_target,
        overwrite=overwrite,
    )


def deploy_local_from_model(
    workspace: Workspace,
    name: str,
    models: Sequence[Model],
    image_config: InferenceConfig,
    deployment_config: DeploymentConfiguration | None,
    wait: bool,
) -> Webservice:
    """Make a local service of registered models."""
    _require_inference(image_config)
    service = deploy_models(
        workspace, name, models, image_config, deployment_config or LocalConfiguration()
    )
    if wait:
        service.wait_for_deployment(show_output=True)
    return service


def _require_inference(image_config: object) -> None:
    if not isinstance(image_config, InferenceConfig):
        unsupported.refuse("image_config")
