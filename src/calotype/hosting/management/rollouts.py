"""The records of roll-outs: what a version is measured against, and what ends it from outside."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from calotype import errors
from calotype.hosting.canary import RolloutRules
from calotype.hosting.management import keeper
from calotype.hosting.management.shares import default_of
from calotype.hosting.rollout_steps import IN_PROGRESS
from calotype.workspace.services import Service, ServiceEdit, Version, now
from calotype.workspace.workspace import Workspace

BY_HAND = "The traffic was shared out by hand"


def begun(service: Service, name: str, rules: RolloutRules) -> dict[str, Any]:
    """Return the record of a roll-out that begins now."""
    return {
        "rules": rules.model_dump(),
        "control": measured_against(service, name).name,
        "state": IN_PROGRESS,
        "reason": "",
        "started_at": now().isoformat(),
    }


def measured_against(service: Service, name: str) -> Version:
    """Return what a version is compared with: the control version, or the default one.

    A control version that gets no requests has nothing that a new one could be compared with.
    """
    default = default_of(service)
    controls = (
        one
        for one in service.versions
        if one.is_control and one.name != name and one.traffic_percent > 0
    )
    return next(controls, default)


def require_healthy(workspace: Workspace, service: Service, name: str) -> None:
    """Refuse a version that could not answer a request.

    Raises:
        NotSupported: it is not Healthy.
    """
    state = keeper.version_state(workspace, service, name)
    if state != "Healthy":
        raise errors.NotSupported(
            "expected a version that is Healthy",
            where=f"version '{name}' of service '{service.name}'",
            got=f"one that is {state}",
            action=f"`calotype service show -n {service.name}` says why; a roll-out can begin once "
            "it is Healthy.",
        )


def end_touched(edit: ServiceEdit, names: Collection[str], reason: str = BY_HAND) -> list[str]:
    """End the roll-outs that a change of some versions has made pointless; return of what.

    Args:
        edit: of the service.
        names: of versions whose share or role was set.
        reason: that the record tells.
    """
    touched = [
        one
        for one in edit.service.versions
        if one.rollout.get("state") == IN_PROGRESS
        and not {one.name, one.rollout.get("control")}.isdisjoint(names)
    ]
    for one in touched:
        edit.change_version(
            one.name, rollout={**one.rollout, "state": "ended", "reason": f"{reason}."}
        )
    return [one.name for one in touched]
