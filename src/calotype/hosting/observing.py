"""How a service is, as its keeper sees it; `unkept.py` tells it without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calotype.hosting import processes
from calotype.hosting.kept_replica import KeptReplica
from calotype.hosting.kept_service import worst
from calotype.hosting.observation import (
    Observation,
    ReplicaObservation,
    VersionObservation,
    while_stopped,
    with_requests,
)
from calotype.hosting.uris import uris_of

if TYPE_CHECKING:
    from calotype.hosting.kept_service import KeptService
    from calotype.hosting.uris import Uris
    from calotype.workspace.services import Version


def observation_of(kept: KeptService, door: Uris) -> Observation | None:
    """Return how a service is; None when it was deleted.

    Args:
        kept: the service.
        door: where the front door is.
    """
    record = kept.record.now
    if record is None:
        return None
    versions = {one.name: _version(kept, one) for one in record.versions}
    state, error = record.state, record.error
    if state == "Healthy":
        asked = [versions[one.name] for one in with_requests(record.versions)]
        if any(one.state != "Healthy" for one in asked):
            state, error = worst([(one.state, one.error) for one in asked])
    uris = uris_of(record, kept.address.port or record.access.port or 0, door)
    return Observation(
        state, error, uris.scoring, uris.swagger, versions,
        tuple(_replica(one) for one in kept.replicas if one.phase != "ended"),
    )  # fmt: skip


def _version(kept: KeptService, version: Version) -> VersionObservation:
    found = kept.versions.get(version.name)
    ready = [one for one in found.replicas if found.is_ready(one)] if found is not None else []
    record = kept.record.now
    is_stopped = not kept.is_wanted or (record is not None and record.desired == "stopped")
    state, error = version.state, version.error
    if is_stopped:
        state, error = while_stopped(state, error)
    elif state == "Healthy" and found is not None and found.is_known and not ready:
        state, error = found.state(version)  # which is still to be written down
    return VersionObservation(
        state, error, version.wanted_revision, version.serving_revision,
        len(ready),
    )  # fmt: skip


def _replica(one: KeptReplica) -> ReplicaObservation:
    state: str = one.phase
    if state == "ready" and not one.is_serving:
        state = "busy" if one.is_answering else "silent"
    return ReplicaObservation(
        one.name, one.version, one.key[0], one.pid, state,
        processes.memory_of_tree(one.pid) if one.pid else 0, one.port, one.in_flight,
    )  # fmt: skip
