"""Log files that stay small while processes write to them, and their last lines.

Writers need to know nothing: they append to one file through descriptors that they inherit, so the
system has every line as soon as it is written, and `kill -9` of any process loses none. Whoever
looks after the log (the keeper, or the replica itself) copies the oldest lines to a part beside
it, then gives their room back by punching a hole: unlike truncation, that cannot hit lines which
are written meanwhile, and unlike renaming, it needs no writer to open another file. What `ls` says
of the file's length goes on growing; `du` says what it takes.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from calotype import files
from calotype.hosting.log_lines import Piece, first_lines, last_lines
from calotype.hosting.punching import give_back, locked

MAX_BYTES: Final = 10 << 20  # of the log, and of each part that is kept
KEPT_FILES: Final = 5
NUM_LINES: Final = 5000  # as the retired product's get_logs

_PART: Final = re.compile(r"\.log\.(\d{15})$")


@dataclass(frozen=True, slots=True)
class _Part:
    """A file that holds the bytes from `start` on of what was written to a log."""

    path: Path
    start: int
    end: int


class RotatingLog:
    """One log file with the parts of it that were rotated away, `NAME.log.<first byte>`.

    Args:
        path: ends in `.log`.
        max_bytes: what the log may hold before its older lines become a part.
        kept_files: how many parts are kept.
    """

    def __init__(
        self, path: Path, *, max_bytes: int = MAX_BYTES, kept_files: int = KEPT_FILES
    ) -> None:
        if path.suffix != ".log" or max_bytes < 1 or kept_files < 1:
            raise ValueError("a log's name ends in .log, and its limits are positive")
        self.path = path
        self._max_bytes = max_bytes
        self._kept_files = kept_files

    def open(self) -> int:
        """Return a descriptor to be standard output and error of a process; only we may read it.

        Raises:
            CannotWrite: the file cannot be made.
        """
        from calotype import errors

        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self.path, flags, 0o600)
        except OSError as error:
            raise errors.write_error(error, where=str(self.path)) from error

    def rotate(self) -> bool:
        """Make parts of what is too much; costs nothing when there is nothing to do.

        To be called every second or so, by any process; several do not disturb each other.

        Returns:
            Whether there is a new part.

        Raises:
            CannotWrite: the disk is full; the log goes on growing.
        """
        try:
            size = self.path.stat().st_size
        except OSError:
            return False
        if size <= self._max_bytes:
            return False
        with contextlib.suppress(FileNotFoundError), self.path.open("r+b") as log:
            if locked(log.fileno()):
                return self._rotate(log.fileno())
        return False

    @contextlib.contextmanager
    def reading(self) -> Generator[list[Piece]]:
        """Give where its lines are, the oldest first; it is not rotated meanwhile."""
        try:
            log = self.path.open("rb")
        except OSError:
            yield []
            return
        with log:
            locked(log.fileno(), is_shared=True)
            parts = _parts(self.path)
            size = os.fstat(log.fileno()).st_size
            yield [
                *(Piece(part.path, 0, part.end - part.start) for part in parts),
                Piece(self.path, _live_from(parts, size), size),
            ]

    def remove(self) -> None:
        """Delete it with its parts."""
        for path in (*(part.path for part in _parts(self.path)), self.path):
            path.unlink(missing_ok=True)

    def _rotate(self, log: int) -> bool:
        parts = _parts(self.path)
        size = os.fstat(log).st_size
        start = _live_from(parts, size)
        if start < (parts[-1].end if parts else 0):  # somebody has emptied the log
            for part in parts:
                part.path.unlink(missing_ok=True)
        has_new = False
        while size - start > self._max_bytes:
            data = os.pread(log, self._max_bytes, start)
            kept = data[: data.rfind(b"\n") + 1] or data
            _write_part(self.path.with_name(f"{self.path.name}.{start:015d}"), kept)
            start += len(kept)
            has_new = True
        if has_new:
            give_back(log, start)
            for part in _parts(self.path)[: -self._kept_files]:
                part.path.unlink(missing_ok=True)
        return has_new


def names_of(service: str, version: str) -> re.Pattern[str]:
    """Return what the logs of one version are named like.

    `blue-2-1-…` is a log of the version `blue-2`, and none of `blue`.
    """
    replica = rf"{re.escape(service[:16])}-[0-9a-f]+"
    return re.compile(rf"{re.escape(version)}-\d+-{replica}\.log")


def tail(
    folder: Path,
    num_lines: int = NUM_LINES,
    *,
    init: bool = False,
    names: re.Pattern[str] | None = None,
) -> str:
    """Return the last lines of all logs of a service, in the order of their times.

    Args:
        folder: with logs named `<version>-<revision>-<replica>.log`.
        num_lines: how many at most.
        init: of what was written until the service was ready, at each of its starts.
        names: of those alone that are named so; see `names_of`.
    """
    with contextlib.ExitStack() as stack:
        logs = [stack.enter_context(log.reading()) for log in logs_of(folder, names)]
        lines = first_lines(logs, num_lines) if init else last_lines(logs, num_lines)
    return b"".join(line + b"\n" for line in lines).decode("utf-8", "replace")


def logs_of(folder: Path, names: re.Pattern[str] | None = None) -> Iterator[RotatingLog]:
    """Yield the logs of a service, or those that are named so."""
    for path in sorted(folder.glob("*.log")):
        if names is None or names.fullmatch(path.name):
            yield RotatingLog(path)


def _parts(log: Path) -> list[_Part]:
    found: list[_Part] = []
    for path in log.parent.glob(f"{log.name}.*"):
        if match := _PART.search(path.name):
            with contextlib.suppress(OSError):  # deleted just now
                start = int(match[1])
                found.append(_Part(path, start, start + path.stat().st_size))
    return sorted(found, key=lambda part: part.start)


def _live_from(parts: list[_Part], size: int) -> int:
    """Return where the lines begin that no part holds."""
    end = parts[-1].end if parts else 0
    return end if end <= size else 0


def _write_part(path: Path, data: bytes) -> None:
    """Write it whole or not at all: what lies beside the log has the hole's bytes for sure."""
    with files.aside(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as part:
            part.write(data)
