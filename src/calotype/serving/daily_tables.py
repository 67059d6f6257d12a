"""Tables of a day as CSV files that several processes append whole lines to."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from calotype import errors
from calotype.serving.private_files import make_private

_HEAD_BYTES: Final = 1 << 20


def append_lines(paths: Iterable[Path], columns: Sequence[str], text: str) -> None:
    """Append whole lines to the first of the files that has these columns, or is new.

    Raises:
        CannotWrite: all of them have others.
    """
    header = line_of(columns).encode("utf-8", "backslashreplace")
    data = text.encode("utf-8", "backslashreplace")
    path = Path()
    for path in paths:
        make_private(path.parent)
        with _locked(path) as descriptor:
            size = os.fstat(descriptor).st_size
            if size == 0:
                _write_all(descriptor, header + data)
                return
            if os.pread(descriptor, len(header), 0) == header:
                if os.pread(descriptor, 1, size - 1) != b"\n":
                    _cut_last_line(descriptor, size)
                _write_all(descriptor, data)
                return
    raise errors.CannotWrite("expected fewer different sets of columns", where=str(path))


@contextlib.contextmanager
def _locked(path: Path) -> Generator[int]:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # held for microseconds, by threads that may wait
        yield descriptor
    finally:
        os.close(descriptor)


def _cut_last_line(descriptor: int, size: int) -> None:
    """Take away the half of a line that a process wrote as it was killed."""
    start = max(0, size - _HEAD_BYTES)
    end = os.pread(descriptor, size - start, start).rfind(b"\n")
    if end >= 0:
        os.ftruncate(descriptor, start + end + 1)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def line_of(values: Sequence[Any]) -> str:
    """Return a line of CSV; line breaks within are written as `\\n`, so that a row is a line."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([_cell(value) for value in values])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and ("\n" in value or "\r" in value):
        return value.replace("\r", "\\r").replace("\n", "\\n")
    if isinstance(value, bool):
        return str(value).lower()
    return value


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of one file of collected data, all as text."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
