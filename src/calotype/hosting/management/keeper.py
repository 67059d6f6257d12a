"""What management asks of the keeper, which makes reality match the records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calotype.workspace.machine import is_here
from calotype.workspace.services import Service
from calotype.workspace.workspace import Workspace

if TYPE_CHECKING:
    from calotype.hosting.keeping import Observation


def tell(workspace: Workspace, service: Service) -> None:
    """Have a keeper run, and look at the records of a service now."""
    if service.target == "batch" or not is_here(workspace.place, service.host):
        return  # no processes, or those of another machine, whose keeper looks by itself
    from calotype.hosting import keeping

    keeping.ensure(workspace)
    keeping.notify(workspace, service.name)


def look(workspace: Workspace, name: str) -> Observation:
    """Return how a service is."""
    from calotype.hosting import keeping

    return keeping.observe(workspace, name)
