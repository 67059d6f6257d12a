"""Several versions under one name, and their shares of the traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from calotype import errors
from calotype.hosting.management import checking, keeper, updating
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
    shares = split(service, {name: traffic_percent}, added=name) if traffic_percent else {}
    workspace.services.put_version(service.name, added)
    write_shares(workspace, service, shares)
    set_roles(workspace, service, name, is_default=is_default, is_control=is_control)
    workspace.audit.note(
        "service.create_version",
        service.name,
        version=name,
        models=list(wanted.models),
        traffic_percent=traffic_percent,
    )
    keeper.tell(workspace, service)
    return workspace.services.get(service.name)


def delete(workspace: Workspace, service: Service, name: str) -> Service:
    """Remove a version; its share goes to the default one.

    Raises:
        NotFound: there is none of that name.
        InUse: it is the default version, or the only one.
    """
    gone = service.version(name)
    if gone.is_default:
        raise errors.InUse(
            "expected a version that is not the default",
            where=f"version '{name}' of service '{service.name}'",
            got="the default",
            action="Make another one the default, or delete the service.",
        )
    default = default_of(service)
    workspace.services.change_version(
        service.name,
        default.name,
        traffic_percent=default.traffic_percent + gone.traffic_percent,
    )
    workspace.services.delete_version(service.name, name)
    workspace.audit.note("service.delete_version", service.name, version=name)
    keeper.tell(workspace, service)
    return workspace.services.get(service.name)


def set_traffic(
    workspace: Workspace,
    service: Service,
    percents: Mapping[str, int],
    mirror: Mapping[str, int] | None = None,
) -> Service:
    """Share the requests out; the default version takes what others leave.

    Raises:
        NotFound: there is no such version.
        NotInRange: the shares are more than 100 percent.
    """
    require_cluster(service)
    shares = split(service, percents)
    for name, percent in (mirror or {}).items():
        service.version(name)
        _check_percent(name, percent)
    write_shares(workspace, service, shares)
    for name, percent in (mirror or {}).items():
        workspace.services.change_version(service.name, name, mirror_percent=percent)
    workspace.audit.note(
        "service.set_traffic", service.name, percents=shares, mirror=dict(mirror or {})
    )
    keeper.tell(workspace, service)
    return workspace.services.get(service.name)


def set_roles(
    workspace: Workspace,
    service: Service,
    name: str,
    *,
    is_default: bool = False,
    is_control: bool = False,
) -> None:
    """Make a version the default or the control, of which there is one each."""
    others = [one.name for one in service.versions if one.name != name]
    for role in ("is_default",) * is_default + ("is_control",) * is_control:
        workspace.services.change_version(service.name, name, **{role: True})
        for other in others:
            workspace.services.change_version(service.name, other, **{role: False})


def default_of(service: Service) -> Version:
    """Return the version that takes what no other one does."""
    return next((one for one in service.versions if one.is_default), service.versions[0])


def split(service: Service, percents: Mapping[str, int], *, added: str = "") -> dict[str, int]:
    """Return the share of every version when some are set.

    Raises:
        NotFound: there is no such version.
        NotInRange: the shares are more than 100 percent, or none is left out and they are less.
    """
    for name, percent in percents.items():
        if name != added:
            service.version(name)
        _check_percent(name, percent)
    default = default_of(service).name
    shares = {one.name: one.traffic_percent for one in service.versions} | dict(percents)
    others = sum(percent for name, percent in shares.items() if name != default)
    total = others + percents.get(default, 0)
    if total > 100 or (default in percents and total != 100):
        raise errors.NotInRange(
            "expected shares that are 100 percent together",
            where=f"traffic of service '{service.name}'",
            got=", ".join(f"{name} {percent}" for name, percent in shares.items()),
            action=f"Leave out '{default}', which then takes the remainder.",
        )
    return {**shares, default: 100 - others}


def write_shares(workspace: Workspace, service: Service, shares: Mapping[str, int]) -> None:
    """Write the shares of versions down."""
    for name, percent in shares.items():
        workspace.services.change_version(service.name, name, traffic_percent=percent)


def _check_percent(name: str, percent: int) -> None:
    if not 0 <= percent <= 100:
        raise errors.NotInRange(
            "must lie between 0 and 100", where=f"traffic of version '{name}'", got=str(percent)
        )


def require_cluster(service: Service) -> None:
    """Refuse a service that cannot have several versions.

    Raises:
        NotSupported: its target has one version.
    """
    if service.target != "cluster":
        raise errors.NotSupported(
            "expected a service on target 'cluster'",
            where=f"versions of service '{service.name}'",
            got=f"target '{service.target}', whose services have one version",
            action="Update it in place, or deploy it on 'cluster'.",
        )
