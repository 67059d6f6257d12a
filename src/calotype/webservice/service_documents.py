"""A service as `serialize` returns it: exactly the keys of the retired SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from calotype.workspace.machine import shown
from calotype.workspace.services import Service, Version

if TYPE_CHECKING:
    from calotype.webservice.service_facts import ServiceFacts
    from calotype.webservice.webservice import Webservice


def common(service: Webservice, record: Service) -> dict[str, Any]:
    """Return what all services have."""
    observed = service.observed()
    return {
        "name": record.name,
        "description": record.description,
        "tags": dict(record.tags),
        "properties": dict(record.properties),
        "state": service.state,
        "createdTime": record.created_at.isoformat(),
        "updatedTime": record.updated_at.isoformat(),
        "error": observed.error,
        "computeType": service.compute_type,
        "workspaceName": service.workspace.name,
        "imageId": None,
        "imageDigest": None,
        "imageDetails": [],
        "scoringUri": observed.scoring_uri or None,
        "createdBy": record.created_by,
    }


def of_cluster(service: Webservice, record: Service, version: Version) -> dict[str, Any]:
    """Return what services on the front door have beside that."""
    runtime = version.wanted.runtime
    inference = version.wanted.inference
    return {
        "appInsightsEnabled": runtime.telemetry,
        "authEnabled": record.access.auth == "key",
        "aadAuthEnabled": record.access.auth == "token",
        "autoScaler": {
            "autoscaleEnabled": runtime.autoscales,
            "minReplicas": runtime.autoscale_min_replicas,
            "maxReplicas": runtime.autoscale_max_replicas,
            "refreshPeriodInSeconds": runtime.autoscale_refresh_s,
            "targetUtilization": runtime.autoscale_target_utilization,
        },
        "computeName": compute_name(record),
        "containerResourceRequirements": {
            "cpu": runtime.cpu_cores,
            "cpuLimit": runtime.cpu_cores_limit,
            "memoryInGB": runtime.memory_gb,
            "memoryInGBLimit": runtime.memory_gb_limit,
            "gpu": runtime.gpu_cores,
        },
        "dataCollection": {"storageEnabled": runtime.collect_model_data},
        "maxConcurrentRequestsPerContainer": runtime.replica_max_concurrent_requests,
        "maxQueueWaitMs": runtime.max_request_wait_ms,
        "livenessProbeRequirements": {
            "periodSeconds": runtime.probe_period_s,
            "initialDelaySeconds": runtime.probe_initial_delay_s,
            "timeoutSeconds": runtime.probe_timeout_s,
            "successThreshold": runtime.probe_success_threshold,
            "failureThreshold": runtime.probe_failure_threshold,
        },
        "numReplicas": runtime.num_replicas,
        "deploymentStatus": status_of(service, version),
        "scoringTimeoutMs": runtime.scoring_timeout_ms,
        "environmentDetails": dict(inference.environment) or None,
        "modelDetails": [{"id": model} for model in version.wanted.models],
        "isDefault": version.is_default,
        "trafficPercentile": version.traffic_percent,
        "versionType": "Control" if version.is_control else "Treatment",
    }


def compute_name(record: Service) -> str:
    """Return what the cluster was called when a service was deployed, or the machine."""
    return record.access.compute or shown(record.host)


def status_of(service: ServiceFacts, version: Version) -> dict[str, Any]:
    """Return how far the deployment of a version has got."""
    now = service.observed()
    seen = now.versions.get(version.name)
    replicas = [one for one in now.replicas if one.version == version.name]
    return {
        "currentReplicas": len(replicas),
        "servingRevision": seen.serving_revision if seen else None,
        "wantedRevision": version.wanted_revision,
        "error": seen.error if seen else None,
    }
