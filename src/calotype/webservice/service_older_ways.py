"""How services were made before `Model.deploy`, as functions of `Webservice`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from calotype.webservice import unsupported
from calotype.workspace.workspace import Workspace

if TYPE_CHECKING:
    from calotype.webservice.compute import ClusterCompute
    from calotype.webservice.deployment_configuration import DeploymentConfiguration
    from calotype.webservice.inference_config import InferenceConfig
    from calotype.webservice.model import Model
    from calotype.webservice.webservice import Webservice


class OlderWays:
    """Functions of `Webservice` that make services."""

    @staticmethod
    def deploy_from_model(
        workspace: Workspace,
        name: str,
        models: Sequence[Model],
        image_config: InferenceConfig,
        deployment_config: DeploymentConfiguration | None = None,
        deployment_target: ClusterCompute | None = None,
        overwrite: bool = False,
    ) -> Webservice:
        """Make a service; `Model.deploy` is the newer way."""
        from calotype.webservice.older_ways import deploy_from_model

        return deploy_from_model(
            workspace, name, models, image_config, deployment_config, deployment_target, overwrite
        )

    @staticmethod
    def deploy(
        workspace: Workspace,
        name: str,
        model_paths: Sequence[str],
        image_config: InferenceConfig,
        deployment_config: DeploymentConfiguration | None = None,
        deployment_target: ClusterCompute | None = None,
        overwrite: bool = False,
    ) -> Webservice:
        """Register models and make a service of them; `Model.deploy` is the newer way."""
        from calotype.webservice.older_ways import deploy

        return deploy(
            workspace,
            name,
            model_paths,
            image_config,
            deployment_config,
            deployment_target,
            overwrite,
        )

    @staticmethod
    def deploy_local_from_model(
        workspace: Workspace,
        name: str,
        models: Sequence[Model],
        image_config: InferenceConfig,
        deployment_config: DeploymentConfiguration | None = None,
        wait: bool = False,
    ) -> Webservice:
        """Make a local service; `Model.deploy` is the newer way."""
        from calotype.webservice.older_ways import deploy_local_from_model

        return deploy_local_from_model(
            workspace, name, models, image_config, deployment_config, wait
        )

    @staticmethod
    def deploy_from_image(*args: Any, **named: Any) -> NoReturn:
        """There are no images here.

        Raises:
            WebserviceException: always.
        """
        unsupported.refuse("deploy_from_image")
