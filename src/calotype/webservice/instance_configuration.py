"""How a single service with an address of its own runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from calotype.webservice import configuration_checks as checks
from calotype.webservice.deployment_configuration import DeploymentConfiguration
from calotype.webservice.deployment_parameters import problems_of
from calotype.webservice.unsupported import ignore_given
from calotype.workspace.service_settings import AccessSettings, RuntimeSettings, Target


@dataclass
class InstanceConfiguration(DeploymentConfiguration):
    """For `InstanceWebservice`, which is `AciWebservice`.

    Args:
        cpu_cores: what it may use; 0.1 when left out.
        memory_gb: what it may use; 0.5 when left out.
        tags: names and values to find it by; can be changed.
        properties: names and values that stay.
        description: for people.
        auth_enabled: callers have to show a key; off when left out.
        ssl_enabled: serve by TLS, which needs the three below.
        enable_app_insights: keep a history of requests and failures.
        ssl_cert_pem_file: certificate with its chain.
        ssl_key_pem_file: its key.
        ssl_cname: the host name in the service's URIs.
        primary_key: chosen key; made when left out.
        secondary_key: the other.
        collect_model_data: keep inputs and predictions.
        location, dns_name_label, cmk_vault_base_url, cmk_key_name, cmk_key_version, vnet_name,
            subnet_name: have no meaning here.
        port: of its own; a free one when left out.
        tls_exact_1_2: take TLS 1.2 only.

    Raises:
        WebserviceException: the first fault.
    """

    cpu_cores: float | None = None
    memory_gb: float | None = None
    tags: dict[str, str] | None = None
    properties: dict[str, str] | None = None
    description: str | None = None
    location: str | None = None
    auth_enabled: bool | None = None
    ssl_enabled: bool | None = None
    enable_app_insights: bool | None = None
    ssl_cert_pem_file: str | None = None
    ssl_key_pem_file: str | None = None
    ssl_cname: str | None = None
    dns_name_label: str | None = None
    primary_key: str | None = field(default=None, repr=False)
    secondary_key: str | None = field(default=None, repr=False)
    collect_model_data: bool | None = None
    cmk_vault_base_url: str | None = None
    cmk_key_name: str | None = None
    cmk_key_version: str | None = None
    vnet_name: str | None = None
    subnet_name: str | None = None
    port: int | None = field(default=None, kw_only=True)
    tls_exact_1_2: bool | None = field(default=None, kw_only=True)
    workers: int | None = field(default=None, kw_only=True)
    scoring_timeout_ms: int | None = field(default=None, kw_only=True)
    replica_max_concurrent_requests: int | None = field(default=None, kw_only=True)
    max_request_wait_time: int | None = field(default=None, kw_only=True)

    target: ClassVar[Target] = "instance"
    compute_type: ClassVar[str] = "ACI"

    def problems(self) -> list[str]:
        """Return what is wrong, as clauses."""
        return list(self._problems())

    def _problems(self) -> Iterator[str]:
        values = self.values
        yield from problems_of(values)
        yield from checks.precision(values)
        yield from checks.tls(values)
        yield from checks.together(values, "vnet_name", "subnet_name")
        yield from checks.together(values, "cmk_vault_base_url", "cmk_key_name", "cmk_key_version")

    def warn(self) -> None:
        """Warn about what has no meaning here."""
        ignore_given(
            stacklevel=4,
            location=self.location,
            dns_name_label=self.dns_name_label,
            vnet_name=self.vnet_name,
            subnet_name=self.subnet_name,
            cmk_vault_base_url=self.cmk_vault_base_url,
            cmk_key_name=self.cmk_key_name,
            cmk_key_version=self.cmk_key_version,
        )

    @property
    def auth(self) -> str:
        """What callers have to show: none or key; empty for what is usual, which is none."""
        return {None: "", True: "key", False: "none"}[self.auth_enabled]

    def access(self) -> AccessSettings:
        """Return where the service is to be found; without `ssl_enabled` by plain HTTP."""
        settings = super().access()
        if self.ssl_enabled:
            return settings
        without = {"tls_certificate": "", "tls_key": "", "cname": ""}
        return settings.model_copy(update=without if self.ssl_enabled is False else {})

    def runtime(self) -> RuntimeSettings:
        """Return how its process runs."""
        return super().runtime().model_copy(update={"num_replicas": 1})
