"""How a service is: what the keeper tells about it, or what can be seen without one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self, cast

from calotype.workspace.services import Fault, State

if TYPE_CHECKING:
    from calotype.workspace.services import Version

STOPPED: Final = "It was stopped. `calotype up` starts it again."


@dataclass(frozen=True, slots=True)
class ReplicaObservation:
    """One process that answers for a service.

    Attributes:
        state: "starting", "ready", "silent" (it does not answer), "busy" (it has no worker that is
            ready), or "retiring".
        port: of its own; 0 for none.
        memory_bytes: of it and all that it started.
        in_flight: requests that it is answering.
    """

    replica: str
    version: str
    revision: int
    pid: int
    state: str
    memory_bytes: int = 0
    port: int = 0
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class VersionObservation:
    """One version of a service.

    `error` beside the state Healthy: an update failed, and what served before goes on.
    """

    state: State
    error: Fault | None
    wanted_revision: int
    serving_revision: int | None
    replicas: int


@dataclass(frozen=True, slots=True)
class Observation:
    """One service.

    Attributes:
        scoring_uri, swagger_uri: where it is found; empty while that is not known.
    """

    state: State
    error: Fault | None
    scoring_uri: str
    swagger_uri: str
    versions: dict[str, VersionObservation] = field(default_factory=dict[str, VersionObservation])
    replicas: tuple[ReplicaObservation, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        return asdict(self)

    @classmethod
    def of_document(cls, document: dict[str, Any]) -> Self:
        """Return what `to_document` was made of."""
        return cls(
            state=cast(State, document["state"]),
            error=document["error"],
            scoring_uri=document["scoring_uri"],
            swagger_uri=document["swagger_uri"],
            versions={
                name: VersionObservation(**one) for name, one in document["versions"].items()
            },
            replicas=tuple(ReplicaObservation(**one) for one in document["replicas"]),
        )


def fault(message: str, trace: str = "", **more: str) -> Fault:
    """Return why something is not Healthy, as records keep it."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"message": message, "trace": trace, "at": at, **more}


def while_stopped(state: State, error: Fault | None) -> tuple[State, Fault]:
    """Return how a version is whose service was stopped when it was so: nobody works on it."""
    has_failed = error is not None and "revision" in error
    return ("Failed" if state == "Failed" else "Unhealthy"), (
        error if error is not None and has_failed else fault(STOPPED)
    )


def with_requests(versions: Sequence[Version]) -> list[Version]:
    """Return the versions that a service is judged by: those that callers reach by its address."""
    shared = [one for one in versions if one.traffic_percent]
    return shared or [one for one in versions if one.is_default] or list(versions)
