"""Waiting until a service is what was asked for, and telling why it is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from calotype import errors
from calotype.hosting.management import keeper
from calotype.workspace.services import Fault, Service
from calotype.workspace.workspace import Workspace

if TYPE_CHECKING:
    from calotype.hosting.observation import Observation, VersionObservation

LIMIT_S: Final = 20 * 60.0
_MOST_FILES: Final = 200
_FIRST_LOOK_S: Final = 0.05
_LOOK_EVERY_S: Final = 0.5


class DeploymentFailed(errors.OperationFailed):
    """A service did not become ready.

    Attributes:
        state: of the service.
        trace: of the entry script's `init`; empty when there was none.
        listing: what the script finds below AZUREML_MODEL_DIR.
    """

    number = errors.OperationFailed.number

    def __init__(
        self, expected: str, *, where: str, got: str, action: str, state: str, fault: Fault
    ) -> None:
        super().__init__(expected, where=where, got=got, action=action)
        self.state = state
        self.trace = fault.get("trace", "")
        self.listing: tuple[str, ...] = ()

    @property
    def details(self) -> str:
        """The trace and the model folder, for a terminal; empty when there is nothing to say."""
        parts = [self.trace.rstrip("\n")] if self.trace else []
        if self.listing:
            parts.append("\n".join(["AZUREML_MODEL_DIR:", *(f"  {one}" for one in self.listing)]))
        return "\n".join(parts)


def wait(
    workspace: Workspace,
    name: str,
    *,
    on_change: Callable[[Observation], None] | None = None,
    timeout_s: float | None = None,
    version: str | None = None,
) -> Observation:
    """Return when every version serves what is wanted, or the one that is given.

    Args:
        workspace: where the service is.
        name: of the service.
        on_change: told each time that something is different.
        timeout_s: how long; 20 minutes when left out.
        version: the only one that counts.

    Raises:
        DeploymentFailed: it cannot, or not in time; what served before goes on.
        NotFound: it was deleted.
    """
    ends_s = time.monotonic() + (LIMIT_S if timeout_s is None else timeout_s)
    seen, pause_s = None, _FIRST_LOOK_S
    while True:
        now = keeper.look(workspace, name)
        if now != seen and on_change is not None:
            on_change(now)
        seen = now
        if is_settled(now, version):
            return now
        if fault := _fault(now, version):
            raise _failure(workspace, now, name, fault)
        if time.monotonic() > ends_s:
            late = {"message": f"it is still {now.state} after {timeout_s or LIMIT_S:g} s"}
            raise _failure(workspace, now, name, late)
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LOOK_EVERY_S)


def is_settled(observation: Observation, version: str | None = None) -> bool:
    """Whether every version serves what is wanted, or the one that is given."""
    versions = _of(observation, version)
    if not versions or (version is None and observation.state != "Healthy"):
        return False
    return all(
        one.serving_revision == one.wanted_revision and one.state == "Healthy" for one in versions
    )


def _fault(observation: Observation, version: str | None) -> Fault | None:
    """Return why waiting longer is of no use."""
    for one in _of(observation, version):
        if one.error is not None and one.state != "Transitioning":
            return one.error
    if observation.state in ("Failed", "Unschedulable") and version is None:
        return observation.error or {"message": "no reason was given"}
    return None


def _of(observation: Observation, version: str | None) -> list[VersionObservation]:
    if version is None:
        return list(observation.versions.values())
    return [observation.versions[version]] if version in observation.versions else []


def _failure(
    workspace: Workspace, observation: Observation, name: str, fault: Fault
) -> DeploymentFailed:
    goes_on = " What served before goes on." if observation.state == "Healthy" else ""
    failed = DeploymentFailed(
        "expected the service to become ready",
        where=f"service '{name}', {observation.state}",
        got=fault.get("message", ""),
        action=f"`calotype service get-logs -n {name}` shows its log.{goes_on}",
        state=observation.state,
        fault=fault,
    )
    failed.listing = model_listing(workspace, workspace.services.get(name))
    return failed


def model_listing(workspace: Workspace, service: Service) -> tuple[str, ...]:
    """Return the paths that an entry script finds below AZUREML_MODEL_DIR; the first 200."""
    if not any(version.wanted.inference.entry_script for version in service.versions):
        return ()
    paths: list[str] = []
    for version in service.versions:
        models = version.wanted.models
        for reference in models:
            prefix = reference.replace(":", "/") + "/" if len(models) > 1 else ""
            try:
                tree = workspace.artifacts.tree(workspace.models.find(reference).artifact)
            except errors.CalotypeError as error:
                paths.append(f"{prefix}({error})")
                continue
            paths += [prefix + entry.path for entry in tree.entries]
    more = [f"… {len(paths) - _MOST_FILES:,} more"] if len(paths) > _MOST_FILES else []
    return (*paths[:_MOST_FILES], *more)
