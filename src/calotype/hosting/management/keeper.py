"""What management asks of the keeper, which makes reality match the records."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from calotype import errors
from calotype.workspace.location import Location
from calotype.workspace.machine import is_here, require_here
from calotype.workspace.services import Service, State
from calotype.workspace.workspace import Workspace

if TYPE_CHECKING:
    from calotype.hosting.keeping import Observation

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def told(workspace: Workspace, service: Service, *, starts: bool = False) -> Generator[None]:
    """Have a keeper while a change is written down, and let it look at the change afterwards.

    After `calotype down` the change is only written down, unless it starts something: then all
    services of the workspace come back, which the audit log tells. A warning tells of whoever may
    still go by what was before.

    Args:
        workspace: where the service is.
        service: what is changed.
        starts: whether somebody waits for new replicas.

    Raises:
        OperationFailed: there is no keeper; nothing has been written.
    """
    from calotype.hosting import keeping

    is_down = workspace.fact(keeping.IS_UP) is False
    if not _is_kept(workspace, service) or (is_down and not starts):
        yield
        return
    keeping.ensure(workspace)
    if is_down:
        workspace.audit.note("workspace.up", service.name)
    yield
    try:
        late = keeping.notify(workspace, service.name)
    except errors.CalotypeError as error:  # it is written down, and whoever keeps next finds it
        logger.warning(
            "The change of service '%s' is written down, but the keeper has not said that it has "
            "looked at it; until it does, old keys may still open the service. %s",
            service.name, error,
        )  # fmt: skip
    else:
        if late:
            logger.warning(
                "Replicas of service '%s' that may still take old keys and rules: %s. They could "
                "not be reached, and are asked again until they have the new ones.",
                service.name, ", ".join(late),
            )  # fmt: skip


def require_kept_here(workspace: Workspace, service: Service) -> None:
    """Refuse a service whose processes, files and locks are on another machine.

    Raises:
        NotSupported: they are.
    """
    if service.target != "batch":  # there are only records of those
        require_here(workspace.place, service.host, what=f"service '{service.name}'")


def warn_of_password(place: Location) -> None:
    """Tell what a replica, which gets no password of the database, will not be able to do."""
    password_file = Path(os.environ.get("PGPASSFILE") or Path.home() / ".pgpass")
    if (
        place.database.startswith("postgres")
        and "PGPASSWORD" in os.environ
        and not password_file.exists()
    ):
        logger.warning(
            "The password of the database comes from PGPASSWORD alone, which replicas do not get: "
            "when the keeper has ended with its standby, they cannot bring it back. Put it "
            "into %s.", password_file,
        )  # fmt: skip


def look(workspace: Workspace, name: str) -> Observation:
    """Return how a service is."""
    from calotype.hosting import keeping

    return keeping.observe(workspace, name)


def version_state(workspace: Workspace, service: Service, version: str) -> State:
    """Return how a version is; what was written down may be a moment behind, or longer."""
    from calotype.hosting import keeping

    state = service.version(version).state
    if not _is_kept(workspace, service):
        return state
    seen = look(workspace, service.name).versions.get(version)
    if seen is not None and seen.state == "Healthy" and not seen.replicas:
        keeping.notify(workspace, service.name)  # it tells what it has read, and not seen yet
        seen = look(workspace, service.name).versions.get(version)
    return seen.state if seen is not None else state


def _is_kept(workspace: Workspace, service: Service) -> bool:
    """Whether it has processes on this machine; the keeper of another one looks by itself."""
    return service.target != "batch" and is_here(workspace.place, service.host)
