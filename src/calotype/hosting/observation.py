"""How a service is: what the keeper tells about it, or what can be seen without one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self, cast

from calotype.workspace.services import Fault, State


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
