"""What a service, its versions and their revisions are."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from calotype import errors
from calotype.workspace.service_settings import (
    AccessSettings,
    Inference,
    RuntimeSettings,
    Target,
)

State = Literal["Transitioning", "Healthy", "Unhealthy", "Unschedulable", "Failed"]
Desired = Literal["running", "stopped"]
Fault = dict[str, str]
"""`message`, `trace` (may be empty) and `at` (ISO 8601) of why something is not Healthy."""

ONLY_VERSION: Final = "default"


@dataclass(frozen=True, slots=True)
class Revision:
    """What one deployment or update asked for; never changed afterwards.

    Attributes:
        created_at: when it was written down; None before.
    """

    number: int
    models: tuple[str, ...]
    inference: Inference
    runtime: RuntimeSettings
    created_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Version:
    """One of the versions under a service's name; services that are no endpoints have one.

    Attributes:
        serving_revision: the last one that became ready; it goes on while `wanted_revision` is
            started, and when that fails. None: none ever did.
        rollout: rules and progress of a canary; empty for none.
    """

    name: str
    traffic_percent: int
    is_default: bool
    is_control: bool
    wanted_revision: int
    serving_revision: int | None
    state: State
    error: Fault | None
    revisions: tuple[Revision, ...] = ()
    mirror_percent: int = 0
    rollout: dict[str, Any] = field(default_factory=dict[str, Any])

    def revision(self, number: int) -> Revision:
        """Return one of its revisions."""
        return next(one for one in self.revisions if one.number == number)

    @property
    def wanted(self) -> Revision:
        """What should run."""
        return self.revision(self.wanted_revision)


@dataclass(frozen=True, slots=True)
class Service:
    """One service as the workspace knows it."""

    name: str
    target: Target
    is_endpoint: bool
    access: AccessSettings
    credentials: bytes = field(repr=False)
    desired: Desired
    state: State
    error: Fault | None
    host: str
    description: str
    tags: dict[str, str]
    properties: dict[str, str]
    created_by: str
    created_at: datetime
    updated_at: datetime
    versions: tuple[Version, ...] = ()

    def version(self, name: str = ONLY_VERSION) -> Version:
        """Return one of its versions.

        Raises:
            NotFound: it has none of that name.
        """
        for one in self.versions:
            if one.name == name:
                return one
        raise errors.NotFound(
            f"expected a version '{name}'",
            where=f"service '{self.name}'",
            got=", ".join(one.name for one in self.versions) or "none",
        )

    @property
    def models(self) -> tuple[str, ...]:
        """`name:version` of all models that its versions want or serve."""
        used: dict[str, None] = {}
        for version in self.versions:
            for number in {version.wanted_revision, version.serving_revision} - {None}:
                used |= dict.fromkeys(version.revision(number or 0).models)
        return tuple(used)
