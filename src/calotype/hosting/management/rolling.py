"""Rolling a new version out step by step, and rolling back what did not do well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calotype import errors
from calotype.hosting.canary import RolloutRules
from calotype.hosting.management import checking, keeper, rollouts
from calotype.hosting.management.shares import (
    require_cluster,
    split,
    write_shares,
)
from calotype.hosting.rollout_steps import IN_PROGRESS
from calotype.workspace.services import Revision, Service, Version
from calotype.workspace.workspace import Workspace


def start_canary(
    workspace: Workspace, service: Service, name: str, rules: Mapping[str, Any]
) -> Service:
    """Give a version more and more of the traffic, as long as it does no worse than the old one.

    Raises:
        NotFound: there is no such version.
        NotSupported: it is the default itself, or could not answer now.
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
    rollouts.require_healthy(workspace, service, name)
    split(service, {name: max(candidate.traffic_percent, checked.step_percent)})
    with keeper.told(workspace, service):
        with workspace.services.editing(service.name) as edit:
            percent = max(edit.service.version(name).traffic_percent, checked.step_percent)
            rollout = rollouts.begun(edit.service, name, checked)
            edit.change_version(name, rollout=rollout)
            write_shares(edit, split(edit.service, {name: percent}))
        workspace.audit.note(
            "service.start_canary",
            service.name,
            version=name,
            control=rollout["control"],
            rules=rollout["rules"],
        )
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
    again: Revision | None = None
    if revision is not None or serving is None or serving == version.wanted_revision:
        again = _revision(service, version, revision or _before(service, version))
        _check(workspace, service, version, again)
    with keeper.told(workspace, service, starts=True):
        with workspace.services.editing(service.name) as edit:
            if again is not None:
                number = edit.put_revision(name, again)
            else:
                number = edit.service.version(name).serving_revision or version.wanted_revision
                edit.change_version(name, wanted_revision=number, error=None)
        workspace.audit.note(
            "service.roll_back",
            service.name,
            version=name,
            to_revision=again.number if again is not None else number,
            revision=number,
        )
    return workspace.services.get(service.name)


def is_rolled_out(version: Version) -> bool:
    """Whether a roll-out has given a version traffic that it could lose again."""
    has_given = version.rollout.get("state") in (IN_PROGRESS, "done")
    return has_given and not version.is_default and version.traffic_percent > 0


def _end_rollout(workspace: Workspace, service: Service, version: Version) -> Service:
    with keeper.told(workspace, service):
        with workspace.services.editing(service.name) as edit:
            shares = split(edit.service, {version.name: 0})
            edit.change_version(version.name, rollout={})
            write_shares(edit, shares)
        workspace.audit.note(
            "service.roll_back", service.name, version=version.name, percents=shares
        )
    return workspace.services.get(service.name)


def _check(workspace: Workspace, service: Service, version: Version, again: Revision) -> None:
    """Refuse a revision that could not run any more."""
    for model in again.models:
        try:
            workspace.models.find(model)
        except errors.NotFound as error:
            raise errors.NotFound(
                f"expected the models of revision {again.number}",
                where=f"version '{version.name}' of service '{service.name}'",
                got=f"model '{model}', which was deleted",
                action="Go back to another one (`calotype service rollback --revision N`), or "
                "update the service.",
            ) from error
    checking.check_inference(workspace, again.models, again.inference, again.runtime)


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
