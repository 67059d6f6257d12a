"""Showing how a deployment gets on, and saying why it failed."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from calotype.hosting.management import Management
from calotype.hosting.management.waiting import DeploymentFailed
from calotype.webservice.exceptions import WebserviceNotFound, told_as
from calotype.workspace.workspace import Workspace

if TYPE_CHECKING:
    from calotype.hosting.keeping import Observation

_LAST_LINES: Final = 20


def wait(
    workspace: Workspace,
    name: str,
    *,
    kind: str,
    show_output: bool = False,
    timeout_s: float | None = None,
) -> None:
    """Return when a service is ready; see `Webservice.wait_for_deployment`."""
    management = Management(workspace)
    started_s = time.monotonic()
    last = ""

    def show(observed: Observation) -> None:
        nonlocal last
        line = _line(observed)
        if show_output and line != last:
            _say(f"{time.monotonic() - started_s:7.1f} s  {line}")
        last = line

    with told_as(not_found=WebserviceNotFound):
        try:
            management.wait(name, on_change=show, timeout_s=timeout_s)
        except DeploymentFailed as failure:
            if show_output:
                _say_failure(management, name, failure)
            _tell_all(failure)
            raise
    if show_output:
        _say(f'{kind} service "{name}": operation "Succeeded"')


def _line(observed: Observation) -> str:
    parts = [observed.state]
    for name, version in observed.versions.items():
        ready = sum(
            1 for one in observed.replicas if one.version == name and one.state in ("ready", "busy")
        )
        started = sum(1 for one in observed.replicas if one.version == name)
        of = f"version {name}: " if len(observed.versions) > 1 else ""
        parts.append(f"{of}revision {version.wanted_revision}, {ready} of {started} replicas ready")
    return "  ".join(parts)


def _tell_all(failure: DeploymentFailed) -> None:
    """Put the trace and the listing into the message: many only print that."""
    if failure.details:
        failure.action = f"{failure.action}\n{failure.details}"


def _say_failure(management: Management, name: str, failure: DeploymentFailed) -> None:
    _say(f'operation "Failed", state {failure.state}: {failure.got}')
    if failure.details:
        _say(failure.details)
    log = management.logs(name, num_lines=_LAST_LINES)
    if log:
        _say(f"last lines of the log:\n{log}")


def _say(text: str) -> None:
    sys.stdout.write(text.rstrip("\n") + "\n")
    sys.stdout.flush()
