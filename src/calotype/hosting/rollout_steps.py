"""The steps of roll-outs: what was counted while a version had its present share. No clock here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from calotype.hosting.canary import RolloutRules, Verdict, judge
from calotype.hosting.counts import Snapshot, Window
from calotype.workspace.services import Service, Version

IN_PROGRESS: Final = "in progress"
_ABSENT_S: Final = 10.0
Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What is compared with what: counts of another one say nothing about it."""

    started_at: str
    control: str
    control_revision: int | None


@dataclass(slots=True)
class _Step:
    """What had been counted when a version got its present share, or began to run what it runs.

    Attributes:
        before: what the old version had answered before that; None when it ran something else.
        absent_since_s: since when the new version has no replica; None while it has one.
    """

    comparison: _Comparison
    percent: int
    revision: int | None
    since_s: float
    control: Snapshot
    candidate: Snapshot
    before: Window | None
    absent_since_s: float | None = None


class RolloutSteps:
    """Remembers the present step of every roll-out, and judges by what was counted in it."""

    def __init__(self) -> None:
        self._steps: dict[Name, _Step] = {}

    def keep_only(self, names: Collection[Name]) -> None:
        """Forget the roll-outs that are over."""
        self._steps = {name: step for name, step in self._steps.items() if name in names}

    def judge(
        self,
        service: Service,
        version: Version,
        seen: Mapping[str, Snapshot],
        *,
        is_ready: bool,
        now_s: float,
    ) -> Verdict | None:
        """Return what to do with a version that is rolled out; None when nothing is known yet.

        Args:
            service: whose.
            version: of which more and more of the traffic goes to.
            seen: the counts of all versions now.
            is_ready: whether a replica of it takes requests.
            now_s: on a clock that never goes back.
        """
        control_name = str(version.rollout.get("control", ""))
        revisions = {one.name: one.serving_revision for one in service.versions}
        if version.name not in seen or control_name not in seen.keys() & revisions.keys():
            return None
        name = (service.name, version.name)
        control, candidate = seen[control_name], seen[version.name]
        comparison = _Comparison(
            str(version.rollout.get("started_at", "")),
            control_name,
            revisions[control_name],
        )
        step = self._steps.get(name)
        now = (comparison, version.traffic_percent, version.serving_revision)
        if step is None or now != (step.comparison, step.percent, step.revision):
            rules = RolloutRules.of(version.rollout["rules"])
            before = _before(rules, step, comparison, control)
            self._steps[name] = _Step(*now, now_s, control, candidate, before)
            return None
        return _judge(step, service, version, control, candidate, is_ready=is_ready, now_s=now_s)


def most_percent(service: Service, version: str) -> int:
    """Return the share that a version can get: all that versions beside the default leave."""
    others = (one for one in service.versions if not one.is_default and one.name != version)
    return max(100 - sum(one.traffic_percent for one in others), 0)


def _judge(
    step: _Step,
    service: Service,
    version: Version,
    control: Snapshot,
    candidate: Snapshot,
    *,
    is_ready: bool,
    now_s: float,
) -> Verdict:
    rules = RolloutRules.of(version.rollout["rules"])
    patience_s = min(_ABSENT_S, rules.step_s)
    # One that is being started for the first time has not failed.
    if is_ready or version.state == "Transitioning":
        step.absent_since_s = None
    else:
        step.absent_since_s = now_s if step.absent_since_s is None else step.absent_since_s
        if now_s - step.absent_since_s >= patience_s:
            told = f"The new version has had no replica that takes requests for {patience_s:g} s."
            return Verdict("roll back", 0, told)
    return judge(
        rules,
        percent=version.traffic_percent,
        step_age_s=now_s - step.since_s,
        control=_reference(rules, step, control),
        candidate=candidate.since(step.candidate),
        most_percent=most_percent(service, version.name),
    )


def _reference(rules: RolloutRules, step: _Step, control: Snapshot) -> Window:
    """Return what the new version is measured by: the same minutes, if the old one had a share."""
    window = control.since(step.control)
    if step.before is None or window.requests >= rules.min_requests:
        return window
    return window.plus(step.before)


def _before(
    rules: RolloutRules, last: _Step | None, comparison: _Comparison, control: Snapshot
) -> Window | None:
    if last is None or last.comparison.started_at != comparison.started_at:
        return control.since(None)
    if last.comparison != comparison:
        return None
    return _reference(rules, last, control)
