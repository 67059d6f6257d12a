"""Load from wrk: as many requests as the connections carry, each waiting for its answer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKED = 3  # so many of the bodies are sent before the load, and their answers verified
_SCRIPT = Path(__file__).with_name("serve_rotate.lua")


@dataclass(frozen=True, slots=True)
class Payloads:
    """What is sent to one kind of server, and how its answers are judged.

    Attributes:
        content_type: of the bodies.
        files: one body each.
        verify: takes the number of one of the first bodies and the JSON of its answer; returns what
            is wrong with it, or an empty text.
    """

    content_type: str
    files: tuple[Path, ...]
    verify: Callable[[int, Any], str]


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw.

    Attributes:
        requests: answers that arrived.
        seconds: how long it sent.
        p50_ms, p99_ms: from sending a request to its whole answer.
        refused: answers with a status of 400 or above.
        broken: connections refused, cut or timed out.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return (self.requests - self.refused) / self.seconds


def require_wrk() -> None:
    """Leave with a message when there is no wrk."""
    if shutil.which("wrk") is None:
        sys.exit("this benchmark makes its load with wrk, which is not installed: apt install wrk")


def send(port: int, path: str, payloads: Payloads, *, connections: int, seconds: float) -> Load:
    """Load a server of this machine.

    Args:
        port: where it listens.
        path: what is called.
        payloads: are sent in turn.
        connections: kept open at a time.
        seconds: whole ones are what wrk takes.
    """
    command = [
        *("wrk", "--threads", "1", "--connections", str(connections), "--timeout", "60s"),
        *("--duration", f"{max(1, round(seconds))}s", "--script", str(_SCRIPT)),
        *(f"http://127.0.0.1:{port}{path}", "--", path, payloads.content_type),
        *map(str, payloads.files),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return parse(done.stdout)


def parse(output: str) -> Load:
    """Read the line of JSON that the script prints among wrk's own text."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise ValueError(f"expected wrk's script to print a line of JSON. Got:\n{output}")
    got = json.loads(lines[-1])
    return Load(
        requests=got["requests"],
        seconds=got["duration_us"] / 1e6,
        p50_ms=got["p50_us"] / 1e3,
        p99_ms=got["p99_us"] / 1e3,
        refused=got["refused"],
        broken=got["broken"],
    )
