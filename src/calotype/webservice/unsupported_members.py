"""Members of workspaces, environments and clusters of the retired SDK without a meaning here."""

from __future__ import annotations

from typing import Final

from calotype.webservice.unsupported_parameters import Unsupported

_CLOUD: Final = "It belongs to a subscription of the cloud."
WORKSPACE_ARGUMENTS: Final = (
    "sku friendly_name storage_account key_vault app_insights container_registry adb_workspace "
    "primary_user_assigned_identity cmk_keyvault resource_cmk_uri hbi_workspace "
    "default_cpu_compute_target default_gpu_compute_target private_endpoint_config "
    "private_endpoint_auto_approval user_assigned_identity_for_cmk_encryption "
    "system_datastores_auth_mode v1_legacy_mode create_resource_group cloud"
)
"""What the constructor, `create` and `get` of a workspace were given."""


def _members(of: str, names: str, why: str, instead: str = "") -> tuple[Unsupported, ...]:
    return tuple(Unsupported(f"{of}.{name}", "error", why, instead) for name in names.split())


MEMBERS: Final = (
    *(
        Unsupported(name, "warning", _CLOUD)
        for name in WORKSPACE_ARGUMENTS.split()
        if name != "container_registry"  # of environments too
    ),
    Unsupported("_logger", "warning", "Messages go to the loggers of Python."),
    *(
        Unsupported(name, "warning", "Nothing is built: pip installs into a folder.")
        for name in ("useDocker", "pushImageToWorkspaceAcr")
    ),
    Unsupported(
        "Workspace.tags",
        "warning",
        "A workspace has no tags.",
        "Models, datasets, environments and services have.",
    ),
    *_members(
        "Workspace",
        "delete",
        "A workspace is a folder.",
        "Delete its services, then its folder `.calotype`.",
    ),
    *_members(
        "Workspace",
        "update update_dependencies setup sync_keys list_keys diagnose_workspace discovery_url "
        "service_context sku",
        _CLOUD,
        "`calotype workspace show` and `check` tell about a workspace.",
    ),
    *_members(
        "Workspace",
        "set_connection get_connection list_connections delete_connection",
        _CLOUD,
        "Give scripts what they need as environment.environment_variables.",
    ),
    *_members("Environment", "r", "Scripts are of Python."),
    *_members("Environment", "spark", "Spark is not used."),
    *_members(
        "AksCompute",
        "cluster_fqdn agent_count agent_vm_size system_services",
        "The cluster is the processes of this machine.",
        "service.scoring_uri has the address, service.num_replicas the number of replicas.",
    ),
)
