"""Several versions under one name: their shares of the traffic, roll-out and roll-back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from calotype import errors
from calotype.hosting.canary import RolloutRules
from calotype.hosting.management import checking, keeper, updating
from calotype.workspace.service_settings import Inference, RuntimeSettings
from calotype.workspace.services import Revision, Service, Version, now
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
    _require_cluster(service)
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
    _write_shares(workspace, service, shares)
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
    _require_cluster(service)
    shares = split(service, percents)
    for name, percent in (mirror or {}).items():
        service.version(name)
        _check_percent(name, percent)
    _write_shares(workspace, service, shares)
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


def roll_back(
    workspace: Workspace, service: Service, name: str, revision: int | None = None
) -> Service:
    """Undo: a roll-out gives its traffic back, otherwise the version runs its revision before.

    A second roll-back of a version undoes the first. What is run again gets a new number.

    Raises:
        NotFound: there is no such version or revision, or none before.
    """
    version = service.version(name)
    if revision is None and is_rolled_out(version):
        return _end_rollout(workspace, service, version)
    serving = version.serving_revision
    if revision is None and serving not in (None, version.wanted_revision):
        workspace.services.change_version(
            service.name, name, wanted_revision=serving, state="Healthy", error=None
        )
        back_to, number = serving, serving
    else:
        back_to = revision or _before(service, version)
        again = _revision(service, version, back_to)
        checking.check_inference(
            workspace, checking.resolved(workspace, again.models), again.inference, again.runtime
        )
        updating.put_revision(workspace, service, version, again)
        number = workspace.services.get(service.name).version(name).wanted_revision
    workspace.audit.note(
        "service.roll_back", service.name, version=name, to_revision=back_to, revision=number
    )
    keeper.tell(workspace, service)
    return workspace.services.get(service.name)


def is_rolled_out(version: Version) -> bool:
    """Whether a roll-out has given a version traffic that it could lose again."""
    return bool(version.rollout) and not version.is_default and version.traffic_percent > 0


def _end_rollout(workspace: Workspace, service: Service, version: Version) -> Service:
    shares = split(service, {version.name: 0})
    workspace.services.change_version(service.name, version.name, rollout={})
    _write_shares(workspace, service, shares)
    workspace.audit.note("service.roll_back", service.name, version=version.name, percents=shares)
    keeper.tell(workspace, service)
    return workspace.services.get(service.name)


def _before(service: Service, version: Version) -> int:
    earlier = [one.number for one in version.revisions if one.number < version.wanted_revision]
    if not earlier:
        raise errors.NotFound(
            "expected a revision before the one that runs",
            where=f"version '{version.name}' of service '{service.name}'",
            got="none",
        )
    return max(earlier)


def _revision(service: Service, version: Version, number: int) -> Revision:
    known = {one.number: one for one in version.revisions}
    if number not in known:
        raise errors.NotFound(
            f"expected a revision {number}",
            where=f"version '{version.name}' of service '{service.name}'",
            got=", ".join(map(str, known)),
        )
    return known[number]


def _write_shares(workspace: Workspace, service: Service, shares: Mapping[str, int]) -> None:
    for name, percent in shares.items():
        workspace.services.change_version(service.name, name, traffic_percent=percent)


def _check_percent(name: str, percent: int) -> None:
    if not 0 <= percent <= 100:
        raise errors.NotInRange(
            "must lie between 0 and 100", where=f"traffic of version '{name}'", got=str(percent)
        )


def _require_cluster(service: Service) -> None:
    if service.target != "cluster":
        raise errors.NotSupported(
            "expected a service on target 'cluster'",
            where=f"versions of service '{service.name}'",
            got=f"target '{service.target}', whose services have one version",
            action="Update it in place, or deploy it on 'cluster'.",
        )


def start_canary(
    workspace: Workspace, service: Service, name: str, rules: Mapping[str, Any]
) -> Service:
    """Give a version more and more of the traffic, as long as it does no worse than the default.

    Raises:
        NotFound: there is no such version.
        NotSupported: it is the default itself.
    """
    _require_cluster(service)
    candidate = service.version(name)
    if candidate.is_default:
        raise errors.NotSupported(
            "expected a version beside the default",
            where=f"version '{name}' of service '{service.name}'",
            got="the default",
            action="Create a version for what is new: `calotype service create-version`.",
        )
    checked = RolloutRules.of(rules, where="canary")
    rollout = {
        "rules": checked.model_dump(),
        "control": default_of(service).name,
        "state": "in progress",
        "reason": "",
        "started_at": now().isoformat(),
        "step_since": now().isoformat(),
    }
    first = max(candidate.traffic_percent, checked.step_percent)
    shares = split(service, {name: first})
    workspace.services.put_version(
        service.name, dataclasses.replace(candidate, rollout=rollout, traffic_percent=first)
    )
    _write_shares(workspace, service, shares)
    workspace.audit.note("service.start_canary", service.name, version=name, rules=rollout["rules"])
    keeper.tell(workspace, service)
    return workspace.services.get(service.name)
