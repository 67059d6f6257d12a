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
from typing import TYPE_CHECKING, Any, Final

from calotype import errors
from calotype.hosting import control
from calotype.hosting.autoscale import Autoscaler, AutoscaleRules
from calotype.hosting.canary import Verdict
from calotype.hosting.counts import Snapshot
from calotype.hosting.layout import Layout
from calotype.hosting.rollout_steps import IN_PROGRESS, RolloutSteps, most_percent

if TYPE_CHECKING:
    from calotype.hosting.kept_service import KeptService
    from calotype.hosting.kept_version import KeptVersion
    from calotype.workspace.services import Service, Version
    from calotype.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

_Name = tuple[str, str]


@dataclass(slots=True)
class _Scaling:
    scaler: Autoscaler
    before: Snapshot | None = None
    decided_s: float = 0.0


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
        self._steps = RolloutSteps()

    async def look(self) -> None:
        """Look at the counts and act on them; to be called about once a second."""
        concerned = [
            (kept, record, version)
            for kept in self._services.values()
            if kept.target == "cluster" and (record := kept.record.now) is not None
            for version in record.versions
            if _scales(version) or _is_in_progress(version)
        ]
        self._steps.keep_only(
            [(record.name, one.name) for _, record, one in concerned if _is_in_progress(one)]
        )
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
            if _is_in_progress(version):
                replicas = said[version.name]["replicas"].values()
                is_ready = any(one["ready"] for one in replicas)
                await self._roll_out(record, version, seen, is_ready=is_ready)

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

    async def _roll_out(
        self, record: Service, version: Version, seen: dict[str, Snapshot], *, is_ready: bool
    ) -> None:
        verdict = self._steps.judge(
            record, version, seen, is_ready=is_ready, now_s=time.monotonic()
        )
        if verdict is None or verdict.action == "hold":
            return
        logger.info("%s %s: %s: %s", record.name, version.name, verdict.action, verdict.reason)
        with contextlib.suppress(errors.NotFound):  # it has just been deleted
            await asyncio.to_thread(write_verdict, self._workspace, record, version, verdict)
        await self._refresh()


_STATES: Final = {"roll back": "rolled back", "finish": "done"}


def write_verdict(
    workspace: Workspace, record: Service, version: Version, verdict: Verdict
) -> None:
    """Give a version the share that follows from a verdict, and the rest to the default one.

    Nothing is written when somebody has shared the traffic out otherwise since it was judged, or
    the version runs something else.

    Raises:
        NotFound: the service has been deleted.
    """
    rollout = {
        **version.rollout,
        "state": _STATES.get(verdict.action, IN_PROGRESS),
        "reason": verdict.reason,
    }
    with workspace.services.editing(record.name) as edit:
        if _traffic(edit.service) != _traffic(record):
            return
        most = most_percent(record, version.name)
        percent = min(verdict.percent, most)
        edit.change_version(version.name, traffic_percent=percent, rollout=rollout)
        for one in record.versions:
            if one.is_default and one.name != version.name:
                edit.change_version(one.name, traffic_percent=most - percent)
    workspace.audit.note(
        "service.roll_back" if verdict.action == "roll back" else "service.canary_step",
        record.name,
        version=version.name,
        percent=percent,
        reason=verdict.reason,
    )


def _traffic(service: Service) -> list[tuple[object, ...]]:
    return [
        (one.name, one.is_default, one.traffic_percent, one.rollout, one.serving_revision)
        for one in service.versions
    ]


def _is_in_progress(version: Version) -> bool:
    return version.rollout.get("state") == IN_PROGRESS


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
