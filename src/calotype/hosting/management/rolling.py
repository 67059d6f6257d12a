"""Rolling a new version out step by step, and rolling back what did not do well."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from calotype import errors
from calotype.hosting.canary import RolloutRules
from calotype.hosting.management import checking, keeper, updating
from calotype.hosting.management.versions import (
    default_of,
    require_cluster,
    split,
    write_shares,
)
from calotype.workspace.services import Revision, Service, Version, now
from calotype.workspace.workspace import Workspace


def start_canary(
    workspace: Workspace, service: Service, name: str, rules: Mapping[str, Any]
) -> Service:
    """Give a version more and more of the traffic, as long as it does no worse than the default.

    Raises:
        NotFound: there is no such version.
        NotSupported: it is the default itself.
    """
    require_cluster(service)
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
    write_shares(workspace, service, shares)
    workspace.audit.note("service.start_canary", service.name, version=name, rules=rollout["rules"])
    keeper.tell(workspace, service)
    return workspace.services.get(service.name)


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
    write_shares(workspace, service, shares)
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
