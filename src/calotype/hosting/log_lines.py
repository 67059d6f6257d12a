"""The last lines of several logs, merged by time, without reading what is before them."""

from __future__ import annotations

import heapq
import itertools
import json
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 64 << 10
_MOST_UNTIMED: Final = 1000  # lines of a trace
_TIME: Final = re.compile(rb'^\{"time": ?"([^"]{1,40})"')
_EVENT: Final = re.compile(rb'"event": ?"(starting|ready)"')

Entry = tuple[bytes, list[bytes]]
"""A time, and the line that has it with those after it that have none, such as a trace."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a file."""

    path: Path
    start: int
    end: int


def last_lines(logs: Iterable[Sequence[Piece]], num_lines: int) -> list[bytes]:
    """Return the newest lines of all logs in the order of their times.

    Args:
        logs: of each the pieces, the oldest first.
        num_lines: how many at most.
    """
    if num_lines <= 0:
        return []
    logs = list(logs)
    if len(logs) == 1:
        return list(itertools.islice(_backwards(logs[0]), num_lines))[::-1]
    newest_first = heapq.merge(
        *(_entries(_backwards(pieces), num_lines) for pieces in logs),
        key=lambda entry: entry[0],
        reverse=True,
    )
    found: list[bytes] = []
    for _, lines in newest_first:
        found += reversed(lines)
        if len(found) >= num_lines:
            break
    return found[num_lines - 1 :: -1] if len(found) >= num_lines else found[::-1]


def first_lines(logs: Iterable[Sequence[Piece]], num_lines: int) -> list[bytes]:
    """Return the last of the lines that were written until the log's service was ready.

    A log begins anew with each event "starting", and what comes after "ready" does not count.
    """
    if num_lines <= 0:
        return []
    found = [_starts(pieces, num_lines) for pieces in logs]
    entries = (_entries(reversed(lines), num_lines) for lines in found)
    merged = heapq.merge(*entries, key=lambda entry: entry[0], reverse=True)
    lines = [line for _, group in merged for line in reversed(group)]
    return lines[:num_lines][::-1]


def _starts(pieces: Sequence[Piece], num_lines: int) -> deque[bytes]:
    lines: deque[bytes] = deque(maxlen=num_lines)
    is_starting = True
    for line in _forwards(pieces):
        event = _event(line)
        is_starting = is_starting or event == "starting"
        if is_starting:
            lines.append(line)
        is_starting = is_starting and event != "ready"
    return lines


def _event(line: bytes) -> str:
    if not _EVENT.search(line):
        return ""
    try:
        document = json.loads(line)
        return str(document.get("event", "")) if isinstance(document, dict) else ""
    except ValueError:
        return ""


def _entries(newest_first: Iterable[bytes], num_lines: int) -> Iterator[Entry]:
    """Group lines with the timed one before them; no time is sought for more than are wanted."""
    most = max(num_lines, _MOST_UNTIMED)
    group: list[bytes] = []
    last_time = b"~"  # later than all
    for line in newest_first:
        group.append(line)
        match = _TIME.match(line)
        if match or len(group) >= most:
            last_time = min(match[1], last_time) if match else last_time
            yield last_time, group[::-1]
            group = []
    if group:
        yield b"", group[::-1]


def _backwards(pieces: Sequence[Piece]) -> Iterator[bytes]:
    """Yield lines without their ends, the last one first; one may begin in an earlier piece."""
    rest = b""
    is_last = True
    for piece in reversed(pieces):
        for chunk in _chunks_backwards(piece):
            lines = (chunk + rest).split(b"\n")
            rest = lines[0]
            if is_last and len(lines) > 1 and not lines[-1]:
                lines.pop()  # the end of the file is no line
            is_last = False
            yield from lines[:0:-1]
    if rest:
        yield rest


def _chunks_backwards(piece: Piece) -> Iterator[bytes]:
    try:
        file = piece.path.open("rb")
    except OSError:  # rotated away meanwhile
        return
    with file:
        end = piece.end
        while end > piece.start:
            start = max(piece.start, end - _CHUNK_BYTES)
            yield os.pread(file.fileno(), end - start, start)
            end = start


def _forwards(pieces: Sequence[Piece]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        try:
            file = piece.path.open("rb")
        except OSError:
            continue
        with file:
            file.seek(piece.start)
            left = piece.end - piece.start
            while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
                left -= len(chunk)
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
    if rest:
        yield rest
