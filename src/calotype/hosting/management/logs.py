"""What the replicas of a service have logged."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from calotype.hosting.layout import Layout
from calotype.workspace.services import Service
from calotype.workspace.workspace import Workspace

_NAME: Final = re.compile(r"(?P<version>[a-z0-9-]+?)-(?P<revision>\d+)-(?P<replica>.+)\.log")
_MOST_BYTES: Final = 64 << 20  # of one file


def read(
    workspace: Workspace,
    service: Service,
    *,
    num_lines: int = 5000,
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
    lines: list[tuple[str, str]] = []
    for path in files_of(workspace, service, version):
        timed = _timed(_lines(path, num_lines, whole=init))
        lines += _until_ready(timed) if init else timed
    lines.sort(key=lambda line: line[0])  # stable: those of one moment stay together
    return "".join(f"{line}\n" for _, line in lines[-num_lines:]) if num_lines > 0 else ""


def files_of(workspace: Workspace, service: Service, version: str | None = None) -> list[Path]:
    """Return the log files of a service, oldest first."""
    folder = Layout.of(workspace.place).logs(service.name)
    found = [path for path in folder.glob("*.log") if _belongs(path, version)]
    return sorted(found, key=lambda path: path.name)


def _belongs(path: Path, version: str | None) -> bool:
    parts = _NAME.fullmatch(path.name)
    return parts is not None and version in (None, parts["version"])


def _lines(path: Path, most: int, *, whole: bool) -> list[str]:
    try:
        content = path.read_bytes()[-_MOST_BYTES:]
    except FileNotFoundError:  # its replica was deleted just now
        return []
    lines = content.decode("utf-8", "replace").splitlines()
    return lines if whole else lines[-most:]


def _timed(lines: list[str]) -> list[tuple[str, str]]:
    """Return lines with their times; one without is of the moment of the line before."""
    found: list[tuple[str, str]] = []
    time = ""
    for line in lines:
        time = _value(line, "time") or time
        found.append((time, line))
    return found


def _until_ready(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    for count, (_, line) in enumerate(lines):
        if _value(line, "event") == "ready":
            return lines[: count + 1]
    return lines


def _value(line: str, name: str) -> str:
    if not line.startswith("{"):
        return ""
    try:
        return str(json.loads(line).get(name, ""))
    except (ValueError, AttributeError):  # something that a script printed
        return ""
