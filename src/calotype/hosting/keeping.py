"""What everybody else asks of the keeper; starts it when it is needed and not there."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from calotype import errors
from calotype.hosting import control, locks
from calotype.hosting.launching import start_keeper
from calotype.hosting.layout import Layout
from calotype.hosting.observation import Observation
from calotype.workspace.machine import is_here

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

__all__ = ["Observation", "down", "ensure", "notify", "observe", "reload", "status", "up"]

_STARTS_WITHIN_S: Final = 30.0
_UP_WITHIN_S: Final = 90.0
_RELOADS_WITHIN_S: Final = 150.0
_ENDS_WITHIN_S: Final = 90.0
_AGAIN_S: Final = 0.03
IS_UP: Final = "is_up"


def ensure(workspace: Workspace) -> None:
    """Have a keeper, and wait until it takes commands; after `down` it brings all back.

    Raises:
        OperationFailed: it cannot be started; its log says why.
    """
    if workspace.fact(IS_UP) is False:
        workspace.set_fact(IS_UP, None)
    _ensure(workspace)


def _ensure(workspace: Workspace) -> None:
    layout = Layout.of(workspace.place)
    deadline_s = time.monotonic() + _STARTS_WITHIN_S
    started_s = 0.0
    while True:
        with contextlib.suppress(control.NobodyThere):
            control.ask(_keeper_socket(layout), "ping")
            return
        now_s = time.monotonic()
        is_kept = locks.is_held(layout.keeper_lock)
        if not is_kept and now_s - started_s > 2.0:
            started_s = now_s
            start_keeper(workspace.place.root)
        if now_s > deadline_s:
            raise errors.OperationFailed(
                "expected a keeper of the workspace",
                where=str(workspace.place.root),
                got="none within 30 s",
                action=f"Its log says why: {layout.keeper_log}",
            )
        time.sleep(_AGAIN_S)


def _keeper_socket(layout: Layout) -> Path:
    """Return where the keeper says that it listens, if that is not where we would look."""
    if not layout.keeper_socket.exists():
        said = locks.facts(layout.keeper_lock).get("socket")
        if isinstance(said, str):
            return Path(said)
    return layout.keeper_socket


def _tell(
    workspace: Workspace, do: str, *, timeout_s: float = 30.0, **values: Any
) -> dict[str, Any]:
    """Send a command to the keeper, which is started when there is none."""
    for _ in range(5):
        _ensure(workspace)
        socket = _keeper_socket(Layout.of(workspace.place))
        try:
            return control.ask(socket, do, timeout_s=timeout_s, **values)
        except control.TooLate:  # it may be at it
            raise
        except control.NobodyThere:
            continue
    raise errors.OperationFailed(
        "expected an answer of the keeper",
        where=str(workspace.place.root),
        got="none",
        action=f"Its log says why: {Layout.of(workspace.place).keeper_log}",
    )


def notify(workspace: Workspace, service: str) -> list[str]:
    """Say that a service's record has changed; it has been looked at when this comes back.

    Keys and rules of access count from then on; starting and ending of replicas goes on.

    Returns:
        The replicas that could not be given those keys and rules yet; they are asked again.

    Raises:
        TooLate: the keeper has not answered in time; it may be at it.
    """
    return list(_tell(workspace, "changed", service=service).get("late", []))


def reload(workspace: Workspace, service: str) -> None:
    """Let a service run its script anew, from its folder, without a new revision.

    Raises:
        ScriptFailed: it cannot be used; the old one goes on.
        NotFound: there is no such service.
    """
    _tell(workspace, "reload", timeout_s=_RELOADS_WITHIN_S, service=service)


def observe(workspace: Workspace, name: str) -> Observation:
    """Return how a service is.

    Raises:
        NotFound: there is none of that name.
    """
    record = workspace.services.get(name)
    if not is_here(workspace.place, record.host):
        from calotype.hosting.unkept import observation_of

        return observation_of(workspace, record)
    socket = _keeper_socket(Layout.of(workspace.place))
    found: dict[str, Any] | None = None
    try:
        found = control.ask(socket, "state", service=name)["observation"]
    except control.NobodyThere:
        if record.desired == "running" and workspace.fact(IS_UP) is not False:
            found = _tell(workspace, "state", service=name)["observation"]
    if found is not None:
        return Observation.of_document(found)
    from calotype.hosting.unkept import observation_of

    return observation_of(workspace, workspace.services.get(name))


def up(
    workspace: Workspace,
    *,
    host: str | None = None,
    port: int | None = None,
    tls_certificate: str | None = None,
    tls_key: str | None = None,
    cname: str | None = None,
) -> dict[str, Any]:
    """Start all services and the front door, and keep them running.

    Args:
        workspace: whose.
        host: where the front door listens.
        port: of the front door; chosen when it is started for the first time.
        tls_certificate: PEM file, for HTTPS; "" for none.
        tls_key: its private key; "" for none.
        cname: name of its certificate, for URIs.

    Returns:
        What `status` returns.

    Raises:
        CannotListen: somebody else has that address; nothing is changed when it was asked for.
        FileError: certificate or key cannot be used; nothing is changed.
        OperationFailed: the front door is not ready in time.
    """
    given = {
        "host": host, "port": port, "cname": cname,
        "tls_certificate": tls_certificate and os.path.abspath(tls_certificate),
        "tls_key": tls_key and os.path.abspath(tls_key),
    }  # fmt: skip
    wish = {name: value for name, value in given.items() if value is not None}
    _tell(workspace, "up", timeout_s=_UP_WITHIN_S, door=wish)
    return status(workspace)


def down(workspace: Workspace) -> None:
    """End all services, the front door and the keeper; the records stay."""
    layout = Layout.of(workspace.place)
    workspace.set_fact(IS_UP, False)
    with contextlib.suppress(control.NobodyThere):
        control.ask(_keeper_socket(layout), "down", timeout_s=_ENDS_WITHIN_S)
    from calotype.hosting.unkept import end_all

    deadline_s = time.monotonic() + 10.0
    while locks.is_held(layout.keeper_lock) and time.monotonic() < deadline_s:
        time.sleep(_AGAIN_S)
    if locks.is_held(layout.keeper_lock):  # it hangs
        for lock in (layout.standby_lock, layout.keeper_lock):
            pid = locks.facts(lock).get("pid")
            if locks.is_held(lock) and isinstance(pid, int):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    end_all(workspace, layout)


def status(workspace: Workspace) -> dict[str, Any]:
    """Return what runs: keeper, front door, and every service with its state and address."""
    layout = Layout.of(workspace.place)
    kept: dict[str, Any] = {}
    with contextlib.suppress(control.NobodyThere):
        kept = control.ask(_keeper_socket(layout), "status", timeout_s=15.0)
    observed: dict[str, Any] = kept.get("services", {})
    from calotype.hosting.unkept import observation_of

    services: list[dict[str, Any]] = []
    for record in workspace.services.list():
        if record.target == "batch":
            continue
        seen = observed.get(record.name) or observation_of(workspace, record).to_document()
        services.append(
            {
                "name": record.name,
                "target": record.target,
                "state": seen["state"],
                "scoring_uri": seen["scoring_uri"],
                "replicas": sum(one["state"] == "ready" for one in seen["replicas"]),
                "memory_bytes": sum(one["memory_bytes"] for one in seen["replicas"]),
                "error": (seen["error"] or {}).get("message", ""),
            }
        )
    return {
        "workspace": workspace.location,
        "is_up": workspace.fact(IS_UP),
        "keeper": kept.get("pid"),
        "standby": kept.get("standby"),
        "front_door": kept.get("front_door"),
        "services": services,
    }
