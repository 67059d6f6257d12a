"""Alternatives that are measured against each other, each in a process of its own.

They live at the same time and run in turn, so that a change in the machine's speed hits all of
them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any


class Peer:
    """One alternative in its own process.

    Args:
        name: for the tables.
        command: starts a program that calls `answer_rounds`.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._line()

    def round(self) -> dict[str, Any]:
        """Run once and return what was measured."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} died")
        return line


def answer_rounds(run: Callable[[], dict[str, Any]]) -> None:
    """Run one round for each line on stdin; print what it measured as JSON."""
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(run()), flush=True)
