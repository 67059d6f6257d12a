"""A service on the front door: replicas, autoscale, keys or tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from calotype.webservice import service_documents
from calotype.webservice.cluster_configuration import ClusterConfiguration
from calotype.webservice.exceptions import WebserviceNotFound, told_as
from calotype.webservice.service_documents import compute_name
from calotype.webservice.updating import default_of, known_only, update
from calotype.webservice.webservice import Webservice

if TYPE_CHECKING:
    from calotype.webservice.compute import ClusterCompute
    from calotype.webservice.inference_config import InferenceConfig
    from calotype.webservice.model import Model


class ClusterWebservice(Webservice):
    """Replicas behind the address that all services of the workspace share."""

    compute_type: ClassVar[str] = "AKS"
    deploy_configuration = ClusterConfiguration

    @property
    def compute_name(self) -> str:
        """What the cluster was called when it was deployed; else the machine that runs it."""
        return compute_name(self.record())

    @property
    def deployment_target(self) -> ClusterCompute:
        """The cluster that runs it, which is this machine."""
        from calotype.webservice.compute import ClusterCompute

        return ClusterCompute(self.workspace, self.compute_name)

    def serialize(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        record = self.record()
        own = service_documents.of_cluster(self, record, default_of(record))
        return {**service_documents.common(self, record), **own}

    def roll_back(self, version: str | None = None) -> None:
        """Run again what ran before the last update, or end a roll-out.

        Raises:
            WebserviceException: there is nothing to go back to.
        """
        with told_as(not_found=WebserviceNotFound):
            self.management.roll_back(self.name, version)

    def update(  # noqa: PLR0913, PLR0917 - as in the retired SDK
        self,
        image: object = None,
        autoscale_enabled: bool | None = None,
        autoscale_min_replicas: int | None = None,
        autoscale_max_replicas: int | None = None,
        autoscale_refresh_seconds: float | None = None,
        autoscale_target_utilization: int | None = None,
        collect_model_data: bool | None = None,
        auth_enabled: bool | None = None,
        cpu_cores: float | None = None,
        memory_gb: float | None = None,
        enable_app_insights: bool | None = None,
        scoring_timeout_ms: int | None = None,
        replica_max_concurrent_requests: int | None = None,
        max_request_wait_time: int | None = None,
        num_replicas: int | None = None,
        tags: dict[str, str] | None = None,
        properties: dict[str, str] | None = None,
        description: str | None = None,
        models: Sequence[Model | str] | None = None,
        inference_config: InferenceConfig | None = None,
        gpu_cores: int | None = None,
        period_seconds: float | None = None,
        initial_delay_seconds: float | None = None,
        timeout_seconds: float | None = None,
        success_threshold: int | None = None,
        failure_threshold: int | None = None,
        token_auth_enabled: bool | None = None,
        cpu_cores_limit: float | None = None,
        memory_gb_limit: float | None = None,
        **own: Any,
    ) -> None:
        """Change it in place; what is None stays, and so do its URI and its keys.

        Args:
            image: refused.
            autoscale_enabled, autoscale_min_replicas, autoscale_max_replicas,
                autoscale_refresh_seconds, autoscale_target_utilization, collect_model_data,
                auth_enabled, cpu_cores, memory_gb, enable_app_insights, scoring_timeout_ms,
                replica_max_concurrent_requests, max_request_wait_time, num_replicas, gpu_cores,
                period_seconds, initial_delay_seconds, timeout_seconds, success_threshold,
                failure_threshold, token_auth_enabled, cpu_cores_limit, memory_gb_limit: as in
                `deploy_configuration`.
            tags: all of them.
            properties: to be added.
            description: another one.
            models: all of its models.
            inference_config: what runs them.
            own: parameters of `deploy_configuration` that could not be changed formerly.

        Raises:
            WebserviceException: there is nothing to change, or with all faults in one message.
        """
        said = {name: value for name, value in locals().items() if name in _CHANGEABLE}
        said |= known_only(ClusterConfiguration, own)
        update(self, said, image=image, models=models, inference_config=inference_config)


_CHANGEABLE = frozenset(ClusterConfiguration.__dataclass_fields__)
