"""What the replicas of a service have logged."""

from __future__ import annotations

from calotype.hosting.layout import Layout
from calotype.hosting.log_files import NUM_LINES, names_of, tail
from calotype.workspace.services import Service
from calotype.workspace.workspace import Workspace


def read(
    workspace: Workspace,
    service: Service,
    *,
    num_lines: int = NUM_LINES,
    init: bool = False,
    version: str | None = None,
) -> str:
    """Return the last lines of all replicas, in the order of their times.

    Args:
        workspace: where the service is.
        service: whose.
        num_lines: at most.
        init: only what was logged until each replica was ready, or failed.
        version: of one version only.
    """
    folder = Layout.of(workspace.place).logs(service.name)
    names = names_of(service.name, version) if version else None
    return tail(folder, num_lines, init=init, names=names)
