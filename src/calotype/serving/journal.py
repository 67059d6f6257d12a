"""What the server writes about itself and its requests: one JSON object a line, on stderr.

Lines are gathered and written by a thread of their own, so that a slow reader of the log never
holds up a request; when it reads far too slowly, lines are dropped and counted.
"""

from __future__ import annotations

import collections
import logging
import os
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

LogFormat = Literal["json", "text"]

_MOST_WAITING: Final = 20_000  # lines
_EVERY_S: Final = 0.2
_HIDDEN: Final = {"time", "level", "event"}


class Journal:
    """A log that never blocks.

    Args:
        format: `json`, or `text` for people at a terminal.
        file_descriptor: where to write.
        with_requests: write a line for every request too.
    """

    def __init__(
        self, format: LogFormat = "json", *, file_descriptor: int = 2, with_requests: bool = True
    ) -> None:
        self.with_requests = with_requests
        self.dropped = 0
        self._render = _as_json if format == "json" else _as_text
        self._descriptor = file_descriptor
        self._waiting: collections.deque[dict[str, Any]] = collections.deque()
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write(self, event: str, *, level: str = "info", **facts: Any) -> None:
        """Write one line about something that happened; `facts` must not hold secrets."""
        self._add({"time": time.time(), "level": level, "event": event, **facts})
        self._wake.set()

    def request(self, facts: dict[str, Any]) -> None:
        """Write one line about a request; `facts` begins with its time, level and event."""
        self._add(facts)

    def _add(self, line: dict[str, Any]) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append(line)

    def close(self) -> None:
        """Write what is waiting and stop."""
        self._closed = True
        self._wake.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(_EVERY_S)
            self._wake.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not lines:
            return
        data = b"".join(map(self._render, lines))
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            self.dropped += len(lines)  # nobody reads the log any more


class JournalHandler(logging.Handler):
    """Takes what libraries tell through `logging` into the journal."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.INFO)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, with its trace if it has one."""
        facts: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            facts["trace"] = "".join(traceback.format_exception(*record.exc_info))
        self._journal.write(record.getMessage(), level=record.levelname.lower(), **facts)


def default_format() -> LogFormat:
    """Return `text` when people look on."""
    return "text" if sys.stderr.isatty() else "json"


def _as_json(line: dict[str, Any]) -> bytes:
    line["time"] = datetime.fromtimestamp(line["time"], UTC)
    return orjson.dumps(line, option=_JSON_OPTIONS, default=str)


_JSON_OPTIONS: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


def _as_text(line: dict[str, Any]) -> bytes:
    clock = time.strftime("%H:%M:%S", time.localtime(line["time"]))
    rest = " ".join(f"{key}={value}" for key, value in line.items() if key not in _HIDDEN)
    level = "" if line["level"] == "info" else f"{line['level']}: "
    return f"{clock} {level}{line['event']} {rest}\n".encode()
