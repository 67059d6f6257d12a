"""What is done with several models: services, packages, profiles."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from calotype.webservice.exceptions import told_as
from calotype.workspace.workspace import Workspace

if TYPE_CHECKING:
    from calotype.webservice.compute import ClusterCompute
    from calotype.webservice.deployment_configuration import DeploymentConfiguration
    from calotype.webservice.inference_config import InferenceConfig
    from calotype.webservice.model import Model
    from calotype.webservice.package import ModelPackage
    from calotype.webservice.profile import ModelProfile
    from calotype.webservice.webservice import Webservice


class ModelDeployment:
    """The functions of `Model` that take a list of models."""

    @staticmethod
    def deploy(
        workspace: Workspace,
        name: str,
        models: Sequence[Model | str],
        inference_config: InferenceConfig | None = None,
        deployment_config: DeploymentConfiguration | None = None,
        deployment_target: ClusterCompute | None = None,
        overwrite: bool = False,
        show_output: bool = False,
    ) -> Webservice:
        """Make a service of models.

        Args:
            workspace: where.
            name: 3 to 32 lower-case letters, digits and dashes.
            models: registered ones; may be empty for a script that needs none.
            inference_config: what runs them; None for an image model, ONNX or scikit-learn model
                that is served without code.
            deployment_config: how it runs; that of `InstanceWebservice` when left out.
            deployment_target: a cluster of `ComputeTarget`; there is one, which is this machine.
            overwrite: update the service of that name in place, when there is one.
            show_output: wait, and show the progress.

        Returns:
            The service; `wait_for_deployment` tells when it is ready.

        Raises:
            WebserviceException: the request cannot be met.
        """
        from calotype.webservice.deploying import deploy

        return deploy(
            workspace,
            name,
            models,
            inference_config,
            deployment_config,
            deployment_target,
            overwrite=overwrite,
            show_output=show_output,
        )

    @staticmethod
    def package(
        workspace: Workspace,
        models: Sequence[Model],
        inference_config: InferenceConfig | None = None,
        generate_dockerfile: bool = False,
        image_name: str | None = None,
        image_label: str | None = None,
    ) -> ModelPackage:
        """Write a folder with a Dockerfile that runs models as a service; see `ModelPackage`."""
        from calotype.webservice import package

        with told_as():
            return package.package(
                workspace,
                models,
                inference_config,
                generate_dockerfile=generate_dockerfile,
                image_name=image_name,
                image_label=image_label,
            )

    @staticmethod
    def profile(
        workspace: Workspace,
        profile_name: str,
        models: Sequence[Model],
        inference_config: InferenceConfig | None,
        input_dataset: Any,
        cpu: float | None = None,
        memory_in_gb: float | None = None,
        description: str | None = None,
    ) -> ModelProfile:
        """Measure how long models take and what they need; see `ModelProfile`."""
        from calotype.webservice import profile

        with told_as():
            return profile.profile(
                workspace,
                profile_name,
                models,
                inference_config,
                input_dataset,
                cpu=cpu,
                memory_in_gb=memory_in_gb,
                description=description,
            )

    @staticmethod
    def print_configuration(
        models: Sequence[Model | str],
        inference_config: InferenceConfig | None,
        deployment_config: DeploymentConfiguration | None,
        deployment_target: ClusterCompute | None,
    ) -> None:
        """Print what a deployment would be made of."""
        from calotype.webservice.deploying import describe

        sys.stdout.write(describe(models, inference_config, deployment_config) + "\n")
