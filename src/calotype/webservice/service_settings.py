"""How a service was told to run, as its properties: of its default version, as it is now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from calotype.webservice import service_documents
from calotype.webservice.service_facts import ServiceFacts
from calotype.webservice.updating import default_of
from calotype.workspace.environments import EnvironmentDefinition
from calotype.workspace.service_settings import RuntimeSettings
from calotype.workspace.services import Version

if TYPE_CHECKING:
    from calotype.webservice.environment import Environment


@dataclass(frozen=True)
class AutoScaler:
    """Whether and how the number of replicas follows the load."""

    autoscale_enabled: bool
    min_replicas: int
    max_replicas: int
    refresh_period_seconds: float
    target_utilization: int


@dataclass(frozen=True)
class ContainerResourceRequirements:
    """What each replica was given."""

    cpu: float
    memory_in_gb: float
    gpu: int
    cpu_limit: float | None
    memory_in_gb_limit: float | None


@dataclass(frozen=True)
class LivenessProbeRequirements:
    """When a replica counts as dead."""

    period_seconds: float
    initial_delay_seconds: float
    timeout_seconds: float
    success_threshold: int
    failure_threshold: int


@dataclass(frozen=True)
class DataCollection:
    """Whether inputs and predictions are kept."""

    storage_enabled: bool


class ServiceSettings(ServiceFacts):
    """Settings of one service."""

    def _version(self: Self) -> Version:
        return default_of(self.record())

    @property
    def _runtime(self) -> RuntimeSettings:
        return self._version().wanted.runtime

    @property
    def autoscaler(self) -> AutoScaler:
        """How the number of replicas follows the load."""
        of = self._runtime
        return AutoScaler(
            of.autoscales,
            of.autoscale_min_replicas,
            of.autoscale_max_replicas,
            of.autoscale_refresh_s,
            of.autoscale_target_utilization,
        )

    @property
    def container_resource_requirements(self) -> ContainerResourceRequirements:
        """What each replica was given."""
        of = self._runtime
        return ContainerResourceRequirements(
            of.cpu_cores, of.memory_gb, of.gpu_cores, of.cpu_cores_limit, of.memory_gb_limit
        )

    @property
    def liveness_probe_requirements(self) -> LivenessProbeRequirements:
        """When a replica counts as dead."""
        of = self._runtime
        return LivenessProbeRequirements(
            of.probe_period_s,
            of.probe_initial_delay_s,
            of.probe_timeout_s,
            of.probe_success_threshold,
            of.probe_failure_threshold,
        )

    @property
    def data_collection(self) -> DataCollection:
        """Whether inputs and predictions are kept."""
        return DataCollection(self._runtime.collect_model_data)

    @property
    def enable_app_insights(self) -> bool:
        """Whether there is a history of requests and failures."""
        return self._runtime.telemetry

    @property
    def scoring_timeout_ms(self) -> int:
        """How long scoring may take."""
        return self._runtime.scoring_timeout_ms

    @property
    def max_request_wait_time(self) -> int:
        """How many milliseconds a request waits for a free replica."""
        return self._runtime.max_request_wait_ms

    @property
    def max_concurrent_requests_per_container(self) -> int:
        """How many requests a replica, or each worker of its script, gets at a time."""
        return self._runtime.replica_max_concurrent_requests

    @property
    def num_replicas(self) -> int | None:
        """How many it has; None when that follows the load."""
        return self._runtime.num_replicas

    @property
    def deployment_status(self) -> dict[str, Any]:
        """How far the last deployment has got."""
        return service_documents.status_of(self, self._version())

    @property
    def environment(self) -> Environment | None:
        """What its script needs; None for a model without one."""
        from calotype.webservice.environment import Environment

        document = self._version().wanted.inference.environment
        if not document:
            return None
        return Environment.from_definition(EnvironmentDefinition.of_document(document))

    @property
    def is_default(self) -> bool:
        """Whether it takes what no other version does: of a service, always."""
        return self._version().is_default

    @property
    def traffic_percentile(self) -> int:
        """Percent of the requests that the default version gets."""
        return self._version().traffic_percent

    @property
    def version_type(self) -> str:
        """Of the default version: "Control" or "Treatment"."""
        return "Control" if self._version().is_control else "Treatment"

    @property
    def location(self) -> str:
        """The machine that runs it."""
        return self.record().host

    @property
    def namespace(self) -> None:
        """Nothing: there is no cluster of Kubernetes."""

    @property
    def public_ip(self) -> None:
        """Nothing: nobody gives it an address of its own; see `scoring_uri`."""
