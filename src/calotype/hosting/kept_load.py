"""What follows from the load: more or fewer replicas, more or less traffic for a new version.

The front door counts; the policies are pure and lie elsewhere; here what they say is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from calotype import errors
from calotype.hosting import control
from calotype.hosting.autoscale import Autoscaler, AutoscaleRules
from calotype.hosting.canary import RolloutRules, Verdict, judge
from calotype.hosting.counts import Snapshot
from calotype.hosting.layout import Layout

if TYPE_CHECKING:
    from calotype.hosting.kept_service import KeptService
    from calotype.hosting.kept_version import KeptVersion
    from calotype.workspace.services import Service, Version
    from calotype.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

IN_PROGRESS: Final = "in progress"
_Name = tuple[str, str]


@dataclass(slots=True)
class _Scaling:
    scaler: Autoscaler
    before: Snapshot | None = None
    decided_s: float = 0.0


@dataclass(slots=True)
class _Step:
    """What had been counted when a roll-out gave its version its present share."""

    percent: int
    since_s: float
    control: Snapshot
    candidate: Snapshot


class KeptLoad:
    """Scales services and decides about roll-outs.

    Args:
        workspace: whose.
        layout: where the front door is.
        services: by name.
        refresh: reads records that were changed here.
    """

    def __init__(
        self,
        workspace: Workspace,
        layout: Layout,
        services: Mapping[str, KeptService],
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        self._workspace = workspace
        self._layout = layout
        self._services = services
        self._refresh = refresh
        self._scalings: dict[_Name, _Scaling] = {}
        self._steps: dict[_Name, _Step] = {}

    async def look(self) -> None:
        """Look at the counts and act on them; to be called about once a second."""
        concerned = [
            (kept, record, version)
            for kept in self._services.values()
            if kept.target == "cluster" and (record := kept.record.now) is not None
            for version in record.versions
            if _scales(version) or version.rollout.get("state") == IN_PROGRESS
        ]
        if not concerned:
            return
        try:
            counts = await control.call(self._layout.front_door_socket, "counts")
        except control.NobodyThere:
            return
        found: dict[str, dict[str, Any]] = counts["services"]
        for kept, record, version in concerned:
            said = found.get(record.name, {})
            seen = {name: Snapshot.of_document(one) for name, one in said.items()}
            if version.name not in seen:
                continue
            if _scales(version) and version.name in kept.versions:
                self._scale(kept, kept.versions[version.name], version, seen[version.name])
            if version.rollout.get("state") == IN_PROGRESS:
                await self._roll_out(record, version, seen)

    # Replicas

    def _scale(
        self, kept: KeptService, versions: KeptVersion, version: Version, now: Snapshot
    ) -> None:
        rules = _rules_of(version)
        name = (kept.name, version.name)
        scaling = self._scalings.get(name)
        if scaling is None or scaling.scaler.rules != rules:
            scaling = self._scalings[name] = _Scaling(Autoscaler(rules))
        now_s = time.monotonic()
        if now_s - scaling.decided_s < min(rules.refresh_s, 1.0):
            return
        load = now.since(scaling.before).load if scaling.before is not None else 0.0
        scaling.before, scaling.decided_s = now, now_s
        live = [one for one in versions.replicas if one.is_live and one.key == versions.serving]
        if not live:
            return
        ready = sum(one.phase == "ready" for one in live)
        wanted = scaling.scaler.decide(now_s, load, present=len(live), ready=ready)
        if wanted.replicas != versions.scale:
            logger.info(
                "%s %s: %d replicas: %s", kept.name, version.name, wanted.replicas, wanted.reason
            )
            versions.scale = wanted.replicas
            kept.rounds.wake()

    # Roll-outs

    async def _roll_out(self, record: Service, version: Version, seen: dict[str, Snapshot]) -> None:
        rollout = version.rollout
        control_name = str(rollout.get("control", ""))
        if control_name not in seen:
            return
        name = (record.name, version.name)
        step = self._steps.get(name)
        ours, theirs = seen[version.name], seen[control_name]
        if step is None or step.percent != version.traffic_percent:
            self._steps[name] = _Step(version.traffic_percent, time.monotonic(), theirs, ours)
            return
        verdict = judge(
            RolloutRules.of(rollout["rules"]),
            percent=version.traffic_percent,
            step_age_s=time.monotonic() - step.since_s,
            control=theirs.since(step.control),
            candidate=ours.since(step.candidate),
        )
        if verdict.action == "hold":
            return
        del self._steps[name]
        logger.info("%s %s: %s: %s", record.name, version.name, verdict.action, verdict.reason)
        with contextlib.suppress(errors.NotFound):  # it has just been deleted
            await asyncio.to_thread(
                write_verdict, self._workspace, record, version, control_name, verdict
            )
        await self._refresh()


def write_verdict(
    workspace: Workspace, record: Service, version: Version, control_name: str, verdict: Verdict
) -> None:
    """Give a version the share that follows from a verdict, and the rest to its control.

    Nothing is written when somebody has shared the traffic out otherwise since it was judged.

    Raises:
        NotFound: the service has been deleted.
    """
    if verdict.action == "roll back":
        state = "rolled back"
    else:
        state = "done" if verdict.percent >= 100 else IN_PROGRESS
    rollout = {
        **version.rollout,
        "state": state,
        "reason": verdict.reason,
        "step_since": datetime.now(UTC).isoformat(),
    }
    with workspace.services.editing(record.name) as edit:
        if _traffic(edit.service) != _traffic(record):
            return  # somebody has shared it out otherwise since it was judged
        others = sum(
            one.traffic_percent
            for one in record.versions
            if one.name not in (version.name, control_name)
        )
        percent = min(verdict.percent, 100 - others)
        edit.change_version(version.name, traffic_percent=percent, rollout=rollout)
        edit.change_version(control_name, traffic_percent=max(100 - others - percent, 0))
    workspace.audit.note(
        "service.roll_back" if verdict.action == "roll back" else "service.canary_step",
        record.name,
        version=version.name,
        percent=percent,
        reason=verdict.reason,
    )


def _traffic(service: Service) -> list[tuple[object, ...]]:
    return [(one.name, one.traffic_percent, one.rollout) for one in service.versions]


def _scales(version: Version) -> bool:
    runtime = version.wanted.runtime
    return runtime.autoscales and runtime.autoscale_max_replicas > runtime.autoscale_min_replicas


def _rules_of(version: Version) -> AutoscaleRules:
    runtime = version.wanted.runtime
    return AutoscaleRules(
        min_replicas=runtime.autoscale_min_replicas,
        max_replicas=runtime.autoscale_max_replicas,
        target_utilization=runtime.autoscale_target_utilization,
        refresh_s=runtime.autoscale_refresh_s,
        concurrent_requests=runtime.workers * runtime.replica_max_concurrent_requests,
    )
