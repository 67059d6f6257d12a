"""What can be told and done about services while nobody keeps them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any, Final

from calotype.hosting import locks, processes
from calotype.hosting.keeping import IS_UP
from calotype.hosting.kept_replica import found_replicas
from calotype.hosting.layout import Layout
from calotype.hosting.observation import (
    Observation,
    ReplicaObservation,
    VersionObservation,
    fault,
    while_stopped,
    with_requests,
)
from calotype.hosting.uris import FACT, Uris, door_uris, said_by_door, uris_of
from calotype.workspace.machine import belongs_to, is_here

if TYPE_CHECKING:
    from calotype.workspace.services import Service, State, Version
    from calotype.workspace.workspace import Workspace

_PATIENCE_S: Final = 40.0


def observation_of(workspace: Workspace, record: Service) -> Observation:
    """Return how a service is, by the locks that its processes hold."""
    if not is_here(workspace.place, record.host):
        return _elsewhere(workspace, record)
    layout = Layout.of(workspace.place)
    living = found_replicas(layout, record.name)
    is_stopped = record.desired == "stopped" or workspace.fact(IS_UP) is False
    versions = {one.name: _version(one, living, is_stopped) for one in record.versions}
    asked = [versions[one.name] for one in with_requests(record.versions)]
    is_served = bool(asked) and all(one.replicas for one in asked)
    uris = uris_of(record, record.access.port or 0, _door(workspace, layout))
    state: State = "Healthy" if is_served else "Unhealthy"
    if not is_served and record.state in ("Failed", "Unschedulable", "Transitioning"):
        is_over = is_stopped and record.state == "Transitioning"
        state = "Unhealthy" if is_over else record.state
    error = None if state == "Healthy" else record.error or fault("Nobody keeps it: calotype up.")
    replicas = tuple(_replica(facts) for facts in living.values())
    return Observation(state, error, uris.scoring, uris.swagger, versions, replicas)


def _door(workspace: Workspace, layout: Layout) -> Uris:
    """Return where the front door is, or will be."""
    chosen: dict[str, Any] = workspace.fact(FACT) or {}
    said = locks.facts(layout.front_door_lock) if locks.is_held(layout.front_door_lock) else {}
    if said.get("state") == "ready":
        return said_by_door(said, str(chosen.get("cname", "")))
    return door_uris(chosen)


def _elsewhere(workspace: Workspace, record: Service) -> Observation:
    """Return what its own machine has written down of a service, if that still looks after it."""
    is_away = workspace.presence.is_away(record.host)
    versions = {
        one.name: VersionObservation(
            _far(one.state, is_away=is_away),
            one.error,
            one.wanted_revision,
            one.serving_revision,
            0,
        )
        for one in record.versions
    }
    where = belongs_to(record.host)
    said = f"{where[0].upper()}{where[1:]}"
    if is_away:
        last = workspace.presence.last_sign(record.host)
        since = f"since {last:%Y-%m-%d %H:%M:%S} UTC" if last is not None else "ever"
        said += (
            f", of which nothing has been heard {since}; before, it was {record.state}. "
            "Run `calotype up` there, or delete the service here when that machine has gone for "
            "good."
        )
    else:
        said += ", which has said this; ask there."
    if record.error is not None:
        said = f"{record.error['message']} {said}"
    error = {**fault(said), "at": record.updated_at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return Observation(_far(record.state, is_away=is_away), error, "", "", versions, ())


def _far(state: State, *, is_away: bool) -> State:
    """Return a state that a machine has written down, as far as it still holds."""
    return "Unhealthy" if is_away and state in ("Healthy", "Transitioning") else state


def _version(
    version: Version, living: dict[str, dict[str, Any]], is_stopped: bool
) -> VersionObservation:
    ready = [
        facts
        for facts in living.values()
        if facts["version"] == version.name and facts["state"] == "ready"
    ]
    state, error = version.state, version.error
    if is_stopped and not ready:
        state, error = while_stopped(state, error)
    elif state == "Healthy" and not ready:
        state = "Unhealthy"
    return VersionObservation(
        state, error, version.wanted_revision, version.serving_revision, len(ready)
    )


def _replica(facts: dict[str, Any]) -> ReplicaObservation:
    return ReplicaObservation(
        str(facts["replica"]),
        str(facts["version"]),
        int(facts["revision"]),
        int(facts["pid"]),
        str(facts["state"]),
        processes.memory_of_tree(int(facts["pid"])),
        int(facts.get("port", 0)),
    )


def end_all(workspace: Workspace, layout: Layout) -> None:
    """End what a keeper has left behind: replicas and front door."""
    left = [layout.front_door_lock, *layout.run.glob("services/*/replicas/*.lock")]
    for path in left:
        _signal(path, signal.SIGTERM)
    deadline_s = time.monotonic() + _PATIENCE_S
    while any(map(locks.is_held, left)) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    for path in left:
        _signal(path, signal.SIGKILL)
        path.unlink(missing_ok=True)
    if not locks.is_held(layout.keeper_lock):
        shutil.rmtree(layout.sockets, ignore_errors=True)


def _signal(path: Any, number: signal.Signals) -> None:
    pid = locks.facts(path).get("pid")
    if locks.is_held(path) and isinstance(pid, int):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
