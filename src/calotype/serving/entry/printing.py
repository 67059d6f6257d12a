"""What an entry script prints and logs, as whole lines of the log that name their request.

Standard output, standard error and the stream handlers of `logging` all end in one `LogLines`; each
line is one object on one line, or text when people look on, written at once, so that the lines of
several workers never mix.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from calotype.serving.entry.log_outlet import LogOutlet
from calotype.serving.log_text import LogFormat, line_of

MOST_LINE_BYTES = 32 << 10
_CUT = " … (cut)"
_HALF_CHARACTERS = "".join(map(chr, range(0xD800, 0xDC00)))  # left when a pair is cut in two


class LogLines:
    """Writes lines of JSON, or of text for people, to a file descriptor.

    Attributes:
        request_id: of the request that is being scored; `init` before the first.
        is_writing: whether a line is on its way, which an alarm must not break off.
    """

    def __init__(self, descriptor: int, format: LogFormat = "json") -> None:
        self.descriptor = descriptor
        self._outlet = LogOutlet(descriptor)
        self._is_text = format == "text"
        self.request_id = "init"
        self.is_writing = False
        self._lock = threading.RLock()  # a signal handler may log while a line is being written

    def write(self, level: str, message: str) -> None:
        """Write one line; nothing that is wrong with the descriptor stops a script."""
        with self._lock:
            self.is_writing = True
            try:
                line = self._line(level, message)
                if lost := self._outlet.lost:
                    told = f"{lost} lines of the log were dropped: nobody read it fast enough"
                    line = self._line("warning", told) + line
                self._outlet.write(line)
            finally:
                self.is_writing = False

    def _line(self, level: str, message: str) -> bytes:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        fields = {
            "time": f"{now[:-6]}Z",
            "level": level,
            "request_id": self.request_id,
            "pid": os.getpid(),
            "message": _cut(message),
        }
        text = line_of(fields) if self._is_text else f"{json.dumps(fields)}\n"
        return text.encode("utf-8", "backslashreplace")

    def close(self) -> None:
        """Write nothing any more."""
        self._outlet.close()


def _cut(message: str) -> str:
    """Return at most 32 KB of a message as they will stand in the line, escapes included."""
    room = MOST_LINE_BYTES - 512  # for the other fields
    if len(message) * 6 <= room or len(json.dumps(message)) <= room:
        return message
    escaped = json.dumps(message[:room])[1 : room - len(json.dumps(_CUT))]
    for length in range(len(escaped), len(escaped) - 6, -1):  # an escape has six characters
        try:
            kept: str = json.loads(f'"{escaped[:length]}"')
        except ValueError:
            continue
        return kept.rstrip(_HALF_CHARACTERS) + _CUT
    raise AssertionError("an escape has at most six characters")


class LineStream(io.TextIOBase):
    """A standard stream whose lines go to `LogLines`; each thread's lines stay whole."""

    def __init__(self, lines: LogLines, level: str) -> None:
        super().__init__()
        self._lines = lines
        self._level = level
        self._parts: dict[int, str] = {}  # by thread: the line that has no end yet
        self._bytes = _ByteStream(self)

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the terminals of all machines that we know."""
        return "utf-8"

    @property
    def errors(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Nothing is refused: JSON can write lone surrogates."""
        return "surrogatepass"

    @property
    def buffer(self) -> _ByteStream:
        """For scripts that write bytes."""
        return self._bytes

    def reconfigure(self, **options: object) -> None:
        """Accept what scripts set on the stream of a terminal; lines are lines here."""

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the log: for subprocesses and faulthandler."""
        return self._lines.descriptor

    def write(self, text: str) -> int:
        """Take text and log the lines that it completes."""
        thread = threading.get_ident()
        first, *others = text.split("\n")
        part = self._parts.pop(thread, "") + first
        for following in others:
            self._lines.write(self._level, part.removesuffix("\r"))
            part = following
        if part:
            # A progress bar may never end its line; what is over the limit would be cut anyway.
            self._parts[thread] = part[: MOST_LINE_BYTES + 1]
        return len(text)

    def log(self, level: str, message: str) -> None:
        """Write a record of `logging` as one line, whatever line breaks it has."""
        self._lines.write(level, message)

    def flush_parts(self, *, of_all: bool = False) -> None:
        """Log what has no line end yet, of this thread and of those that have ended."""
        if self._parts:
            running = set[int]() if of_all else {one.ident for one in threading.enumerate()}
            for thread in list(self._parts):
                if thread == threading.get_ident() or thread not in running:
                    self._lines.write(self._level, self._parts.pop(thread, ""))


class _ByteStream(io.RawIOBase):
    """The `buffer` of a line stream."""

    def __init__(self, text: LineStream) -> None:
        super().__init__()
        self._text = text

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._text.write(bytes(data).decode("utf-8", "replace"))
        return len(data)


class Printing:
    """Catches what the script prints, from `install` to `uninstall`.

    Args:
        descriptor: where the lines go.
        format: of the lines.
    """

    def __init__(self, descriptor: int = 2, format: LogFormat = "json") -> None:
        self.lines = LogLines(descriptor, format)
        self._output = LineStream(self.lines, "info")
        self._error = LineStream(self.lines, "error")
        self._uninstall: Callable[[], None] | None = None

    def install(self) -> None:
        """Replace the standard streams, and teach the handlers of `logging` to use them."""
        before = sys.stdout, sys.stderr, logging.StreamHandler.emit

        def uninstall() -> None:
            sys.stdout, sys.stderr, logging.StreamHandler.emit = before

        self._uninstall = uninstall
        sys.stdout, sys.stderr = self._output, self._error
        # A handler of our own would make `logging.basicConfig` in the script do nothing. This keeps
        # the script's levels and formats, and lets a record keep its level and its line breaks.
        setattr(logging.StreamHandler, "emit", _emit_with(before[2]))  # noqa: B010 - for pyright

    def uninstall(self) -> None:
        """Log what is left and give the streams back."""
        self.flush(of_all=True)
        if self._uninstall is not None:
            self._uninstall()
            self._uninstall = None

    def flush(self, *, of_all: bool = False) -> None:
        """Log what has no line end yet: at the end of a request."""
        self._output.flush_parts(of_all=of_all)
        self._error.flush_parts(of_all=of_all)


_Emit = Callable[[Any, logging.LogRecord], None]


def _emit_with(emit: _Emit) -> _Emit:
    def emit_whole(self: Any, record: logging.LogRecord) -> None:
        if not isinstance(self.stream, LineStream):
            emit(self, record)
            return
        try:
            self.stream.log(record.levelname.lower(), self.format(record))
        except Exception:  # noqa: BLE001 - a script's formatter; logging never stops a script
            self.handleError(record)

    return emit_whole
