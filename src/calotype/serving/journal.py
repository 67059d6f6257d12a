"""What the server writes about itself and its requests: one JSON object a line, on stderr.

Lines are made where they arise and written by a thread of their own, so that a slow reader of the
log never holds up a request; when it reads far too slowly, lines are dropped and counted. It does
nothing but write: to make the lines there as well would have it fight for the interpreter.
"""

from __future__ import annotations

import collections
import json
import logging
import os
import sys
import threading
import time
import traceback
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Final

from calotype.serving.exchange import Answer, Request
from calotype.serving.log_text import LogFormat, line_of

_MOST_WAITING: Final = 20_000  # lines
_GATHERING_S: Final = 0.05  # lines of requests are written together: a process that dies loses them


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
        self._is_text = format == "text"
        self._clock = _Clock()
        self._descriptor = file_descriptor
        self._waiting: collections.deque[bytes] = collections.deque()
        self._has_lines = threading.Event()
        self._is_urgent = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write(self, event: str, *, level: str = "info", **facts: Any) -> None:
        """Write one line about something that happened, at once.

        Args:
            event: what happened.
            level: `info`, `warning` or `error`.
            facts: more about it, no secrets; those that are None are left out.
        """
        known = {name: value for name, value in facts.items() if value is not None}
        line = {"time": self._clock.now(), "level": level, "event": event, **known}
        self._put(json.dumps(line, default=str) + "\n")  # unlike orjson, takes names of any file
        self._is_urgent.set()

    def request(self, request: Request, answer: Answer, total_ms: float) -> None:
        """Write one line about a request; timings in milliseconds by stage."""
        # Put together by hand: a dict and orjson take twice as long, and every request pays.
        timings = "".join([f',"{stage}_ms":{ms:.3f}' for stage, ms in request.timings.items()])
        self._put(
            f'{{"time":"{self._clock.now()}","level":"info","event":"request",'
            f'"request_id":{_quoted(request.request_id)},"client":{_quoted(request.client)},'
            f'"method":{_quoted(request.method)},"path":{_quoted(request.path)},'
            f'"status":{answer.status},"bytes_in":{len(request.body)},'
            f'"bytes_out":{len(answer.body)},"total_ms":{total_ms:.3f}{timings}}}\n'
        )

    def _put(self, line: str) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self.dropped += 1
            return
        written = line_of(json.loads(line)) if self._is_text else line
        self._waiting.append(written.encode("utf-8", "backslashreplace"))
        if not self._has_lines.is_set():
            self._has_lines.set()

    def close(self) -> None:
        """Write what is waiting and stop."""
        self._closed = True
        self._is_urgent.set()
        self._has_lines.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while not self._closed:
            self._has_lines.wait()  # an idle service wakes up for nothing
            self._is_urgent.wait(_GATHERING_S)
            self._is_urgent.clear()
            self._has_lines.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not lines:
            return
        data = b"".join(lines)
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


class _Clock:
    """Tells the time in ISO 8601; all but the milliseconds are made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def now(self) -> str:
        now_s = time.time()
        second = int(now_s)
        if second != self._second:
            self._second, self._text = (
                second,
                time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)),
            )
        return f"{self._text}.{int((now_s - second) * 1000):03d}Z"
