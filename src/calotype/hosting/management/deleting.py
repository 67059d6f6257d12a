"""The end of a service: nothing of it is left but what it collected."""

from __future__ import annotations

import shutil
import time
from typing import Final

from calotype import errors
from calotype.hosting import locks
from calotype.hosting.batch.jobs import BatchJobs
from calotype.hosting.layout import Layout
from calotype.hosting.management import keeper
from calotype.workspace.workspace import Workspace

_STOP_S: Final = 60.0  # a request may take 30 of them to be answered
_LOOK_EVERY_S: Final = 0.05


def delete(workspace: Workspace, name: str) -> bool:
    """Forget a service, stop its processes and remove its files; return whether there was one.

    One of a machine that is away is only forgotten: should that come back, its keeper ends and
    removes what it finds without a record.

    Raises:
        OperationFailed: a process of it did not end.
        NotSupported: another machine looks after it now.
    """
    layout = Layout.of(workspace.place)
    try:
        service = workspace.services.get(name)
    except errors.NotFound:
        return False
    if not workspace.presence.is_away(service.host):
        keeper.require_kept_here(workspace, service)
    if service.target == "batch":
        BatchJobs(workspace).forget(name)
    with keeper.told(workspace, service):
        workspace.services.delete(name)
        workspace.audit.note("service.delete", name, target=service.target)
    if service.target != "batch":
        _wait_for_replicas(layout, name)
    shutil.rmtree(layout.service(name), ignore_errors=True)
    return True


def _wait_for_replicas(layout: Layout, name: str) -> None:
    ends_s = time.monotonic() + _STOP_S
    folder = layout.service(name) / "replicas"
    while any(locks.is_held(path) for path in folder.glob("*.lock")):
        if time.monotonic() > ends_s:
            raise errors.OperationFailed(
                "expected its processes to end",
                where=f"service '{name}', which is deleted",
                got=f"one that still runs after {_STOP_S:g} s",
                action="`calotype status` shows what runs; the keeper goes on trying.",
            )
        time.sleep(_LOOK_EVERY_S)
