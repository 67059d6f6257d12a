"""How a service behind the front door runs: replicas, autoscale, limits and probes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from calotype.webservice import configuration_checks as checks
from calotype.webservice.deployment_configuration import DeploymentConfiguration
from calotype.webservice.unsupported import ignore_given
from calotype.workspace.service_settings import Target


@dataclass
class ReplicatedConfiguration(DeploymentConfiguration):
    """What services and endpoints on the front door have in common.

    Args:
        autoscale_enabled: the number of replicas follows the load; so it is unless `num_replicas`
            is given.
        autoscale_min_replicas: 1 when left out.
        autoscale_max_replicas: 10 when left out.
        autoscale_refresh_seconds: how often it is looked at; 1 when left out.
        autoscale_target_utilization: percent of the replicas that shall be busy; 70 when left out.
        collect_model_data: keep inputs and predictions.
        auth_enabled: callers have to show a key; on when left out, unless they show tokens.
        cpu_cores: what each replica gets; 0.1 when left out.
        memory_gb: what each replica gets; 0.5 when left out.
        enable_app_insights: keep a history of requests and failures.
        scoring_timeout_ms: 504 when scoring takes longer; 60,000 when left out.
        replica_max_concurrent_requests: at a time in one replica; 1 when left out.
        max_request_wait_time: milliseconds in the queue until 503; 500 when left out.
        num_replicas: a fixed number.
        primary_key: chosen key; made when left out.
        secondary_key: the other.
        tags: names and values to find it by; can be changed.
        properties: names and values that stay.
        description: for people.
        gpu_cores: must be free on this machine; 0 when left out.
        period_seconds: between two probes; 10 when left out.
        initial_delay_seconds: until the first failed probe counts; 310 when left out.
        timeout_seconds: of a probe; 2 when left out.
        success_threshold: probes until a replica is well again; 1 when left out.
        failure_threshold: failed probes until it is started anew; 3 when left out.
        token_auth_enabled: callers have to show a token.
        cpu_cores_limit: what a replica may use at most.
        memory_gb_limit: a replica that uses more is started anew.
        namespace, compute_target_name: have no meaning here.

    Raises:
        WebserviceException: with all faults in one message.
    """

    autoscale_enabled: bool | None = None
    autoscale_min_replicas: int | None = None
    autoscale_max_replicas: int | None = None
    autoscale_refresh_seconds: float | None = None
    autoscale_target_utilization: int | None = None
    collect_model_data: bool | None = None
    auth_enabled: bool | None = None
    cpu_cores: float | None = None
    memory_gb: float | None = None
    enable_app_insights: bool | None = None
    scoring_timeout_ms: int | None = None
    replica_max_concurrent_requests: int | None = None
    max_request_wait_time: int | None = None
    num_replicas: int | None = None
    primary_key: str | None = field(default=None, repr=False)
    secondary_key: str | None = field(default=None, repr=False)
    tags: dict[str, str] | None = None
    properties: dict[str, str] | None = None
    description: str | None = None
    gpu_cores: int | None = None
    period_seconds: float | None = None
    initial_delay_seconds: float | None = None
    timeout_seconds: float | None = None
    success_threshold: int | None = None
    failure_threshold: int | None = None
    namespace: str | None = None
    token_auth_enabled: bool | None = None
    compute_target_name: str | None = None
    cpu_cores_limit: float | None = None
    memory_gb_limit: float | None = None

    target: ClassVar[Target] = "cluster"
    compute_type: ClassVar[str] = "AKS"

    def problems(self) -> list[str]:
        """Return all that is wrong, as clauses."""
        values = self.values
        return [
            *super().problems(),
            *checks.limits(values),
            *checks.autoscale(values),
            *checks.one_kind_of_auth(values),
            *checks.namespace(values),
        ]

    def validate_configuration(self) -> None:
        """Check all values.

        Raises:
            WebserviceException: with all faults in one message.
        """
        checks.refuse(self.problems())

    def warn(self) -> None:
        """Warn about what has no meaning here."""
        ignore_given(
            stacklevel=4,
            namespace=self.namespace,
            compute_target_name=self.compute_target_name,
            blobfuse_enabled=getattr(self, "blobfuse_enabled", None),
        )

    @property
    def auth(self) -> str:
        """What callers have to show: none, key or token; empty for what is usual, which is key."""
        if self.token_auth_enabled:
            return "token"
        return {None: "", True: "key", False: "none"}[self.auth_enabled]
