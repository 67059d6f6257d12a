"""What can be set about a deployed service: once for it, and for each revision."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from calotype.parameters import Parameters

MOST_REPLICAS: Final = 200
"""Of a version: they all run on one machine, and each is at least one process."""

Target = Literal["local", "instance", "cluster", "batch"]


class AccessSettings(Parameters):
    """Where a service is found and what its callers must show; stays over all updates."""

    auth: Literal["none", "key", "token"] = Field(default="none")
    host: str = Field(default="127.0.0.1")
    port: int | None = Field(
        default=None, ge=0, le=65535, description="Of its own; None: only on the front door."
    )
    tls_certificate: str = Field(default="", description="PEM file with its chain.")
    tls_key: str = Field(default="", description="PEM file.")
    tls_exact_1_2: bool = Field(default=False)
    cname: str = Field(default="", description="Host name in its URIs.")
    cors_origins: tuple[str, ...] = Field(default=())
    compute: str = Field(default="", description="What its user calls the cluster.")


class RuntimeSettings(Parameters):
    """How one revision of a service runs. Defaults are those of the retired product."""

    cpu_cores: float = Field(default=0.1, gt=0)
    memory_gb: float = Field(default=0.5, gt=0)
    cpu_cores_limit: float | None = Field(default=None, gt=0)
    memory_gb_limit: float | None = Field(default=None, gt=0)
    gpu_cores: int = Field(default=0, ge=0)
    workers: int = Field(default=1, ge=1, le=256, description="Processes of a script, a replica.")
    scoring_timeout_ms: int = Field(default=60_000, ge=1)
    replica_max_concurrent_requests: int = Field(default=1, ge=1)
    max_request_wait_ms: int = Field(default=500, ge=0)
    max_body_bytes: int = Field(default=100 << 20, ge=1)
    num_replicas: int | None = Field(
        default=None, ge=1, le=MOST_REPLICAS, description="Fixed; excludes autoscale."
    )
    autoscale_min_replicas: int = Field(default=1, ge=1, le=MOST_REPLICAS)
    autoscale_max_replicas: int = Field(default=10, ge=1, le=MOST_REPLICAS)
    autoscale_refresh_s: float = Field(default=1, gt=0)
    autoscale_target_utilization: int = Field(default=70, ge=1, le=100, description="Percent.")
    probe_period_s: float = Field(default=10, gt=0)
    probe_initial_delay_s: float = Field(default=310, ge=0)
    probe_timeout_s: float = Field(default=2, gt=0)
    probe_success_threshold: int = Field(default=1, ge=1)
    probe_failure_threshold: int = Field(default=3, ge=1)
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(default="auto")
    collect_model_data: bool = Field(default=False, description="Keep inputs and predictions.")
    collect_image_copies: bool = Field(default=False)
    telemetry: bool = Field(default=False, description="A history of requests and failures.")
    allow_pickle: bool = Field(default=False)

    @property
    def autoscales(self) -> bool:
        """Whether the number of replicas follows the load."""
        return self.num_replicas is None


class Inference(Parameters):
    """What runs the models; all empty: no code of the user's.

    `environment` is `EnvironmentDefinition.to_document()` of environments.py.
    """

    entry_script: str = Field(default="", description="Below the source directory, with slashes.")
    source: str = Field(default="", description="Digest of the tree of the source directory.")
    live_source: str = Field(
        default="", description="The source directory itself, which `reload` of a local reads anew."
    )
    environment: dict[str, object] = Field(default_factory=dict)
    description: str = Field(default="")
