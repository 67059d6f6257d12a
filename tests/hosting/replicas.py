"""Starts small replicas in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "src"


def environment() -> dict[str, str]:
    """Return the environment of a process that finds our sources."""
    paths = [str(SOURCES), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def next_line(process: subprocess.Popen[str]) -> str:
    """Return what a process prints next."""
    stream: IO[str] | None = process.stdout
    assert stream is not None
    line = stream.readline()
    assert line, f"it ended with {process.wait()}"
    return line.strip()


@contextmanager
def process(*arguments: object) -> Generator[subprocess.Popen[str]]:
    """Run a Python program that says `ready`; killed at the end, if it still lives."""
    command = [sys.executable, *map(str, arguments)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as started:
        try:
            assert next_line(started) == "ready"
            yield started
        finally:
            started.kill()


def small_replica(path: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """Run `small_replica.py`."""
    return process(HERE / "small_replica.py", path)
