"""Several versions of a service under one name, which share its requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from calotype.webservice.cluster import ClusterWebservice
from calotype.webservice.endpoint_configuration import EndpointConfiguration
from calotype.webservice.exceptions import WebserviceNotFound, told_as
from calotype.webservice.updating import runtime_changes, update

if TYPE_CHECKING:
    from calotype.webservice.inference_config import InferenceConfig
    from calotype.webservice.model import Model


@dataclass(frozen=True)
class EndpointVersion:
    """One version, as it is now.

    Attributes:
        name: of the version.
        state: as of services.
        error: why it is not healthy; None when all is well.
        traffic_percentile: percent of the requests that it gets.
        is_default: it takes what no other does.
        version_type: "Control", of which there is one, or "Treatment".
        models: `name:version` of those that it shall serve.
    """

    name: str
    state: str
    error: dict[str, str] | None
    traffic_percentile: int
    is_default: bool
    version_type: str
    models: tuple[str, ...]


class ClusterEndpoint(ClusterWebservice):
    """Up to six versions under one name; `AksEndpoint` in the retired SDK.

    A caller can ask for a version with the header `x-calotype-version`.
    """

    compute_type: ClassVar[str] = "AKSENDPOINT"
    deploy_configuration = EndpointConfiguration  # pyright: ignore[reportAssignmentType] - another kind

    @property
    def versions(self) -> dict[str, EndpointVersion]:
        """Its versions by name."""
        observed = self.observed().versions
        return {
            one.name: EndpointVersion(
                one.name,
                observed[one.name].state if one.name in observed else one.state,
                observed[one.name].error if one.name in observed else one.error,
                one.traffic_percent,
                one.is_default,
                "Control" if one.is_control else "Treatment",
                one.wanted.models,
            )
            for one in self.record().versions
        }

    def update(  # pyright: ignore[reportIncompatibleMethodOverride] - so it was
        self,
        auth_enabled: bool | None = None,
        token_auth_enabled: bool | None = None,
        enable_app_insights: bool | None = None,
        description: str | None = None,
        tags: dict[str, str] | None = None,
        properties: dict[str, str] | None = None,
    ) -> None:
        """Change what all versions have in common; what is None stays.

        Raises:
            WebserviceException: there is nothing to change, or it cannot be changed so.
        """
        values = {
            "auth_enabled": auth_enabled,
            "token_auth_enabled": token_auth_enabled,
            "enable_app_insights": enable_app_insights,
            "description": description,
            "tags": tags,
            "properties": properties,
        }
        update(self, values)

    def create_version(  # noqa: PLR0913, PLR0917 - as in the retired SDK
        self,
        version_name: str,
        autoscale_enabled: bool | None = None,
        autoscale_min_replicas: int | None = None,
        autoscale_max_replicas: int | None = None,
        autoscale_refresh_seconds: float | None = None,
        autoscale_target_utilization: int | None = None,
        collect_model_data: bool | None = None,
        cpu_cores: float | None = None,
        memory_gb: float | None = None,
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
        traffic_percentile: int | None = None,
        is_default: bool | None = None,
        is_control_version_type: bool | None = None,
        cpu_cores_limit: float | None = None,
        memory_gb_limit: float | None = None,
    ) -> None:
        """Add a version; what is None is as in the default version.

        Args:
            version_name: of the new version.
            autoscale_enabled, autoscale_min_replicas, autoscale_max_replicas,
                autoscale_refresh_seconds, autoscale_target_utilization, collect_model_data,
                cpu_cores, memory_gb, scoring_timeout_ms, replica_max_concurrent_requests,
                max_request_wait_time, num_replicas, gpu_cores, period_seconds,
                initial_delay_seconds, timeout_seconds, success_threshold, failure_threshold,
                cpu_cores_limit, memory_gb_limit: as in `deploy_configuration`.
            tags, properties, description: of the endpoint.
            models: all of its models.
            inference_config: what runs them.
            traffic_percentile: percent of the requests that it gets; 0 when left out. The default
                version gets the remainder.
            is_default: it takes what no other version does.
            is_control_version_type: canaries are measured against it while it gets requests.

        Raises:
            WebserviceException: there are six already, or it cannot be made so.
        """
        said = {name: value for name, value in locals().items() if name in _CHANGEABLE}
        shares = {"traffic_percentile": traffic_percentile}
        self._described(tags, properties, description)
        record = self.record()
        with told_as(not_found=WebserviceNotFound):
            self.management.create_version(
                self.name,
                version_name,
                runtime=runtime_changes({**said, **shares}, record, None),
                traffic_percent=traffic_percentile or 0,
                is_default=bool(is_default),
                is_control=bool(is_control_version_type),
                **self._what_runs(models, inference_config),
            )

    def update_version(  # noqa: PLR0913, PLR0917 - as in the retired SDK
        self,
        version_name: str,
        autoscale_enabled: bool | None = None,
        autoscale_min_replicas: int | None = None,
        autoscale_max_replicas: int | None = None,
        autoscale_refresh_seconds: float | None = None,
        autoscale_target_utilization: int | None = None,
        collect_model_data: bool | None = None,
        cpu_cores: float | None = None,
        memory_gb: float | None = None,
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
        traffic_percentile: int | None = None,
        is_default: bool | None = None,
        is_control_version_type: bool | None = None,
        cpu_cores_limit: float | None = None,
        memory_gb_limit: float | None = None,
    ) -> None:
        """Change a version in place; what is None stays. See `create_version`.

        Raises:
            WebserviceException: there is no such version, or it cannot be changed so.
        """
        said = {name: value for name, value in locals().items() if name in _CHANGEABLE}
        shares = {"traffic_percentile": traffic_percentile}
        self._described(tags, properties, description)
        with told_as(not_found=WebserviceNotFound):
            record = self.record()
            version = record.version(version_name)
            self.management.update_version(
                self.name,
                version_name,
                runtime=runtime_changes({**said, **shares}, record, version),
                traffic_percent=traffic_percentile,
                is_default=is_default,
                is_control=is_control_version_type,
                **self._what_runs(models, inference_config),
            )

    def delete_version(self, version_name: str) -> None:
        """Remove a version; the default one gets its share.

        Raises:
            WebserviceException: there is none of that name, or it is the default.
        """
        with told_as(not_found=WebserviceNotFound):
            self.management.delete_version(self.name, version_name)

    def set_traffic(
        self, percents: Mapping[str, int], *, mirror: Mapping[str, int] | None = None
    ) -> None:
        """Share the requests out; the default version gets what others leave.

        Args:
            percents: by version.
            mirror: percent of the requests of which a version gets a copy, whose answer nobody
                sees.

        Raises:
            WebserviceException: there is no such version, or they are more than 100.
        """
        with told_as(not_found=WebserviceNotFound):
            self.management.set_traffic(self.name, percents, mirror=mirror)

    def start_canary(self, version_name: str, **rules: Any) -> None:
        """Give a version more and more of the requests while it does no worse than the old one.

        Raises:
            WebserviceException: there is no such version, it is not Healthy, or a rule is none.
        """
        with told_as(not_found=WebserviceNotFound):
            self.management.start_canary(self.name, version_name, **rules)

    def _described(
        self,
        tags: dict[str, str] | None,
        properties: dict[str, str] | None,
        description: str | None,
    ) -> None:
        said = {"tags": tags, "properties": properties, "description": description}
        if any(value is not None for value in said.values()):
            update(self, said)

    def _what_runs(
        self, models: Sequence[Model | str] | None, inference_config: InferenceConfig | None
    ) -> dict[str, Any]:
        from calotype.webservice.deploying import references_of

        return {
            "models": None if models is None else references_of(models),
            "inference": None
            if inference_config is None
            else inference_config.build(self.workspace),
        }


_CHANGEABLE = frozenset(EndpointConfiguration.__dataclass_fields__) - {
    "tags",
    "properties",
    "description",
    "version_name",
}
