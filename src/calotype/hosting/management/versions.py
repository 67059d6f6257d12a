"""Several versions under one name, and their shares of the traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from calotype import errors
from calotype.hosting.management import checking, keeper, rollouts, updating
from calotype.hosting.management.shares import (
    check_percent,
    default_of,
    require_cluster,
    roles_of,
    split,
    write_roles,
    write_shares,
)
from calotype.workspace.service_settings import Inference, RuntimeSettings
from calotype.workspace.services import Revision, Service, Version
from calotype.workspace.workspace import Workspace

MOST_VERSIONS: Final = 6


def create(
    workspace: Workspace,
    service: Service,
    name: str,
    *,
    models: Sequence[str] | None,
    inference: Inference | None,
    runtime: Mapping[str, Any] | RuntimeSettings | None,
    traffic_percent: int = 0,
    is_default: bool = False,
    is_control: bool = False,
) -> Service:
    """Add a version; what is left out is as in the default version.

    Raises:
        CalotypeError: there cannot be such a version.
    """
    require_cluster(service)
    checking.check_version_name(name)
    if any(one.name == name for one in service.versions):
        raise errors.AlreadyExists(
            "expected a name that no version has",
            where=f"version '{name}' of service '{service.name}'",
            got="one of that name",
            action="Update it, or choose another name.",
        )
    if len(service.versions) >= MOST_VERSIONS:
        raise errors.NotInRange(
            f"expected at most {MOST_VERSIONS} versions",
            where=f"service '{service.name}'",
            got=f"{MOST_VERSIONS} already",
            action="Delete one first.",
        )
    template = default_of(service)
    wanted = updating.next_revision(
        workspace, service, template, updating.Changes(template.name, models, inference, runtime)
    )
    added = Version(
        name=name,
        traffic_percent=0,
        is_default=False,
        is_control=False,
        wanted_revision=1,
        serving_revision=None,
        state="Transitioning",
        error=None,
        revisions=(Revision(1, wanted.models, wanted.inference, wanted.runtime),),
    )
    percents = {name: traffic_percent} if traffic_percent else {}
    split(service, percents, added=name)
    roles = roles_of(is_default=is_default, is_control=is_control)
    with keeper.told(workspace, service, starts=True):
        with workspace.services.editing(service.name) as edit:
            shares = split(edit.service, percents, added=name) if percents else {}
            edit.add_version(added)
            write_shares(edit, shares)
            write_roles(edit, name, roles)
        workspace.audit.note(
            "service.create_version",
            service.name,
            version=name,
            models=list(wanted.models),
            traffic_percent=traffic_percent,
        )
    return workspace.services.get(service.name)


def delete(workspace: Workspace, service: Service, name: str) -> Service:
    """Remove a version; its share goes to the default one.

    Raises:
        NotFound: there is none of that name.
        InUse: it is the default version, or the only one.
    """
    if service.version(name).is_default:
        raise errors.InUse(
            "expected a version that is not the default",
            where=f"version '{name}' of service '{service.name}'",
            got="the default",
            action="Make another one the default, or delete the service.",
        )
    with keeper.told(workspace, service):
        with workspace.services.editing(service.name) as edit:
            default, gone = default_of(edit.service), edit.service.version(name)
            write_shares(edit, {default.name: default.traffic_percent + gone.traffic_percent})
            rollouts.end_touched(edit, {name}, f"Version '{name}' was deleted")
            edit.delete_version(name)
        workspace.audit.note("service.delete_version", service.name, version=name)
    return workspace.services.get(service.name)


def set_traffic(
    workspace: Workspace,
    service: Service,
    percents: Mapping[str, int],
    mirror: Mapping[str, int] | None = None,
) -> Service:
    """Share the requests out; the default version takes what others leave.

    A roll-out of a version whose share is set, or that is measured against one, ends.

    Raises:
        NotFound: there is no such version.
        NotInRange: the shares are more than 100 percent.
    """
    require_cluster(service)
    split(service, percents)
    for name, percent in (mirror or {}).items():
        service.version(name)
        check_percent(name, percent)
    with keeper.told(workspace, service):
        with workspace.services.editing(service.name) as edit:
            shares = split(edit.service, percents)
            write_shares(edit, shares)
            ended = rollouts.end_touched(edit, percents.keys())
            for name, percent in (mirror or {}).items():
                edit.change_version(name, mirror_percent=percent)
        workspace.audit.note(
            "service.set_traffic",
            service.name,
            percents=shares,
            mirror=dict(mirror or {}),
            ended_rollouts=ended,
        )
    return workspace.services.get(service.name)
