"""What can be said about a deployment: its name in the SDK, in JSON files, and in the workspace.

One table, which constructors, updates, documents and `serialize` read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["positive", "count", "count or zero", "percent", "flag", "text", "words", "texts"]


@dataclass(frozen=True, slots=True)
class DeploymentParameter:
    """One parameter.

    Attributes:
        name: in Python.
        key: in documents; dots stand for objects in objects.
        kind: of its values.
        runtime: field of `RuntimeSettings` that it sets; empty for none.
        access: field of `AccessSettings` that it sets; empty for none.
        other_keys: further names in documents.
    """

    name: str
    key: str
    kind: Kind
    runtime: str = ""
    access: str = ""
    other_keys: tuple[str, ...] = ()

    def problem(self, value: object) -> str:
        """Return what is wrong with a value as a clause; nothing when it may be used."""
        wanted = _problem(self.kind, value)
        return f"{self.name} must be {wanted}, not {value!r}" if wanted else ""


def _problem(kind: Kind, value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_whole = is_number and isinstance(value, int)
    number: Any = value if is_number else 0
    checks = {
        "positive": (is_number and number > 0, "a number greater than 0"),
        "count": (is_whole and number > 0, "a whole number greater than 0"),
        "count or zero": (is_whole and number >= 0, "a whole number, 0 or greater"),
        "percent": (is_whole and 0 <= number <= 100, "a whole number from 0 to 100"),
        "flag": (isinstance(value, bool), "True or False"),
        "text": (isinstance(value, str), "text"),
        "words": (_is_words(value), "a list of texts"),
        "texts": (_is_texts(value), "a dictionary of texts"),
    }
    is_right, wanted = checks[kind]
    return "" if is_right else wanted


def _is_words(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)  # pyright: ignore[reportUnknownVariableType]


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(item, str)
        for pair in value.items()  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        for item in pair
    )


_P = DeploymentParameter
_RESOURCES: Final = "containerResourceRequirements"
_SCALER: Final = "autoScaler"
_PROBE: Final = "livenessProbeRequirements"
PARAMETERS: Final = (
    _P("description", "description", "text"),
    _P("tags", "tags", "texts"),
    _P("properties", "properties", "texts"),
    _P("auth_enabled", "authEnabled", "flag"),
    _P("token_auth_enabled", "tokenAuthEnabled", "flag", other_keys=("aadAuthEnabled",)),
    _P("primary_key", "keys.primaryKey", "text"),
    _P("secondary_key", "keys.secondaryKey", "text"),
    _P("port", "port", "count or zero", access="port"),
    _P("host", "host", "text", access="host"),
    _P("cors_origins", "corsOrigins", "words", access="cors_origins"),
    _P("ssl_enabled", "sslEnabled", "flag"),
    _P("ssl_cert_pem_file", "sslCertificate", "text", access="tls_certificate"),
    _P("ssl_key_pem_file", "sslKey", "text", access="tls_key"),
    _P("ssl_cname", "cname", "text", access="cname"),
    _P("tls_exact_1_2", "tlsExact12", "flag", access="tls_exact_1_2"),
    _P("cpu_cores", f"{_RESOURCES}.cpu", "positive", "cpu_cores"),
    _P("memory_gb", f"{_RESOURCES}.memoryInGB", "positive", "memory_gb"),
    _P("cpu_cores_limit", f"{_RESOURCES}.cpuLimit", "positive", "cpu_cores_limit"),
    _P("memory_gb_limit", f"{_RESOURCES}.memoryInGBLimit", "positive", "memory_gb_limit"),
    _P("gpu_cores", f"{_RESOURCES}.gpu", "count or zero", "gpu_cores", other_keys=("gpuCores",)),
    _P("autoscale_enabled", f"{_SCALER}.autoscaleEnabled", "flag"),
    _P("autoscale_min_replicas", f"{_SCALER}.minReplicas", "count", "autoscale_min_replicas"),
    _P("autoscale_max_replicas", f"{_SCALER}.maxReplicas", "count", "autoscale_max_replicas"),
    _P(
        "autoscale_refresh_seconds",
        f"{_SCALER}.refreshPeriodInSeconds",
        "positive",
        "autoscale_refresh_s",
    ),
    _P(
        "autoscale_target_utilization",
        f"{_SCALER}.targetUtilization",
        "percent",
        "autoscale_target_utilization",
    ),
    _P("num_replicas", "numReplicas", "count", "num_replicas"),
    _P("scoring_timeout_ms", "scoringTimeoutMs", "count", "scoring_timeout_ms"),
    _P(
        "replica_max_concurrent_requests",
        "maxConcurrentRequestsPerContainer",
        "count",
        "replica_max_concurrent_requests",
    ),
    _P("max_request_wait_time", "maxQueueWaitMs", "count", "max_request_wait_ms"),
    _P("period_seconds", f"{_PROBE}.periodSeconds", "positive", "probe_period_s"),
    _P(
        "initial_delay_seconds",
        f"{_PROBE}.initialDelaySeconds",
        "positive",
        "probe_initial_delay_s",
    ),
    _P("timeout_seconds", f"{_PROBE}.timeoutSeconds", "positive", "probe_timeout_s"),
    _P("success_threshold", f"{_PROBE}.successThreshold", "count", "probe_success_threshold"),
    _P("failure_threshold", f"{_PROBE}.failureThreshold", "count", "probe_failure_threshold"),
    _P("enable_app_insights", "appInsightsEnabled", "flag", "telemetry"),
    _P(
        "collect_model_data",
        "dataCollection.storageEnabled",
        "flag",
        "collect_model_data",
        other_keys=("storageEnabled",),
    ),
    _P("collect_image_copies", "dataCollection.imageCopies", "flag", "collect_image_copies"),
    _P("version_name", "versionName", "text"),
    _P("traffic_percentile", "trafficPercentile", "percent"),
    _P("workers", "workers", "count", "workers"),
    _P("precision", "precision", "text", "precision"),
    _P("max_body_bytes", "maxBodyBytes", "count", "max_body_bytes"),
    _P("allow_pickle", "allowPickle", "flag", "allow_pickle"),
    _P("namespace", "namespace", "text"),
    _P("compute_target_name", "computeTargetName", "text", other_keys=("computeName",)),
    _P("blobfuse_enabled", "blobfuseEnabled", "flag"),
    _P("location", "location", "text"),
    _P("dns_name_label", "dnsNameLabel", "text"),
    _P("cmk_vault_base_url", "encryptionProperties.vaultBaseUrl", "text"),
    _P("cmk_key_name", "encryptionProperties.keyName", "text"),
    _P("cmk_key_version", "encryptionProperties.keyVersion", "text"),
    _P("vnet_name", "vnetConfiguration.vnetName", "text"),
    _P("subnet_name", "vnetConfiguration.subnetName", "text"),
)
BY_NAME: Final = {parameter.name: parameter for parameter in PARAMETERS}
BY_KEY: Final = {
    key: parameter for parameter in PARAMETERS for key in (parameter.key, *parameter.other_keys)
}


def problems_of(values: dict[str, Any]) -> list[str]:
    """Return what is wrong with each of some values alone, as clauses; None is always right."""
    found = (
        BY_NAME[name].problem(value)
        for name, value in values.items()
        if value is not None and name in BY_NAME
    )
    return [problem for problem in found if problem]


def runtime_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `RuntimeSettings` that some values set."""
    settings = {
        BY_NAME[name].runtime: value
        for name, value in values.items()
        if value is not None and name in BY_NAME and BY_NAME[name].runtime
    }
    # A fixed number excludes autoscale, and the other way round.
    if values.get("autoscale_enabled"):
        settings["num_replicas"] = None
    return settings


def access_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `AccessSettings`, without `auth`, that some values set."""
    return {
        BY_NAME[name].access: value
        for name, value in values.items()
        if value is not None and name in BY_NAME and BY_NAME[name].access
    }
