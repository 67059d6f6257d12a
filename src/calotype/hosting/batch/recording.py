"""Progress of a job in its record, where everybody can read it."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

from calotype.workspace.runs import RunRecords

_EVERY_S: Final = 0.5


class RecordedProgress:
    """Writes how far a job is into its record, at most twice a second, and its words to the log.

    Args:
        runs: the records.
        id: of the job.
    """

    def __init__(self, runs: RunRecords, id: str) -> None:
        self._runs = runs
        self._id = id
        self._state: dict[str, Any] = {}
        self._began_s = time.monotonic()
        self._already = -1
        self._told_s = 0.0

    def begin(self, task: str, *, total: int | None, unit: str) -> None:
        """Start counting."""
        self._state = {"task": task, "done": 0, "total": total, "unit": unit, "note": ""}
        self._began_s = time.monotonic()
        self._already = -1
        self._tell(at_once=True)

    def advance(self, count: int = 1, *, note: str = "") -> None:
        """Count on."""
        self._state["done"] += count
        if note:
            self._state["note"] = note
        if self._already < 0:  # the first count is what an earlier run has done
            self._already = self._state["done"]
        self._tell()

    def end(self) -> None:
        """Write the last count."""
        self._tell(at_once=True)

    def say(self, message: str) -> None:
        """Write a line of the log."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        sys.stderr.write(f"{moment} {message}\n")
        sys.stderr.flush()

    def _tell(self, *, at_once: bool = False) -> None:
        now_s = time.monotonic()
        if not at_once and now_s - self._told_s < _EVERY_S:
            return
        self._told_s = now_s
        elapsed_s = now_s - self._began_s
        fresh = self._state["done"] - max(self._already, 0)
        rate = round(fresh / elapsed_s, 2) if elapsed_s > 0 else 0.0
        self._runs.change(self._id, progress={**self._state, "per_s": rate})
