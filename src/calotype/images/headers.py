"""The first pass over a source: the header of every candidate, in order."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from calotype import errors
from calotype.images.containers import OPEN_FLAGS, OpenContainers
from calotype.images.decode import too_large
from calotype.images.formats import ImageLimits, read_header
from calotype.images.sources.source import Candidate, Chunk, Reason, Refused, Source

# A file costs 12 µs from the page cache, where threads only wait for the interpreter (two take
# 30 % longer than one), and 100 µs and more from a disk or a network, where they wait together:
# 10,000 files that are not cached take 1.9 s with one thread, 0.7 s with eight, no less with 16.
_SLOW_FILE_S: Final = 50e-6
_THREADS: Final = 8

_LONGEST_SIDE: Final = 2**31 - 1  # what the table holds


class HeaderRow(NamedTuple):
    """An image whose header was read; the columns of the table that is kept between the passes."""

    path: str
    container: str | None
    offset: int | None
    length: int | None
    category: str | None
    width: int
    height: int
    format: str
    bytes: int


@dataclass(slots=True)
class ReadChunk:
    """What became of a chunk."""

    rows: list[HeaderRow] = field(default_factory=list[HeaderRow])
    refused: list[Refused] = field(default_factory=list[Refused])
    folders: list[str] = field(default_factory=list[str])
    states: list[str] = field(default_factory=list[str])
    """What the fingerprint of the source is made of: names, and the state of each file."""

    def __len__(self) -> int:
        return len(self.rows) + len(self.refused)


class HeaderReader:
    """Reads the headers of a source's candidates; safe to use from many threads."""

    def __init__(self, source: Source, *, limits: ImageLimits, fails_on_error: bool) -> None:
        """Take the source.

        Args:
            source: where the candidates lie.
            limits: the largest image that is taken.
            fails_on_error: raise for the first image that is unreadable or too large.
        """
        self._containers = OpenContainers(source.locate)
        self._root = str(source.root)
        self._limits = limits
        self._fails_on_error = fails_on_error

    def __enter__(self) -> HeaderReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._containers.close()

    def read(self, chunk: Chunk) -> ReadChunk:
        """Read the headers of a chunk.

        Raises:
            UnreadableFile: an image is unreadable, and `fails_on_error` was set.
            ImageTooLarge: an image is too large, and `fails_on_error` was set.
        """
        if self._fails_on_error:
            _fail_for(chunk.refused)
        done = ReadChunk([], list(chunk.refused), chunk.folders, _names(chunk))
        for candidate in chunk.candidates:
            read = self._read_file if candidate.container is None else self._read_member
            try:
                done.rows.append(read(candidate, done.states))
            except errors.FileError as error:
                if self._fails_on_error:
                    raise
                done.refused.append(Refused(candidate.path, _reason(error)))
        return done

    def _read_file(self, candidate: Candidate, states: list[str]) -> HeaderRow:
        path = f"{self._root}/{candidate.path}"
        try:
            descriptor = os.open(path, OPEN_FLAGS)
        except OSError as error:
            with contextlib.suppress(OSError):
                states.append(state(candidate, os.stat(path)))
            raise _cannot_read(candidate, error) from error
        try:
            status = os.fstat(descriptor)
            states.append(state(candidate, status))
            return self._row(candidate, descriptor, 0, status.st_size)
        except OSError as error:
            raise _cannot_read(candidate, error) from error
        finally:
            os.close(descriptor)

    def _read_member(self, candidate: Candidate, states: list[str]) -> HeaderRow:
        try:
            descriptor = self._containers.descriptor(candidate.container or "")
            return self._row(candidate, descriptor, candidate.offset or 0, candidate.length or 0)
        except OSError as error:
            raise _cannot_read(candidate, error) from error

    def _row(self, candidate: Candidate, descriptor: int, offset: int, size: int) -> HeaderRow:
        path, limits = candidate.path, self._limits
        if size > limits.max_bytes:
            raise too_large(f"at most {limits.max_bytes:,} bytes", f"{size:,}", where=path)
        width, height, format_ = read_header(descriptor, offset=offset, length=size, where=path)
        if width * height > limits.max_pixels or max(width, height) > _LONGEST_SIDE:
            allowed = f"at most {limits.max_pixels:,} pixels"
            raise too_large(allowed, f"{width} x {height}", where=path)
        return HeaderRow(*candidate, width, height, format_, size)


def state(candidate: Candidate, status: os.stat_result) -> str:
    """Return a line that changes with the path, the size, the time or the label of a file."""
    label = "" if candidate.category is None else f"\0{candidate.category}"
    return f"{candidate.path}\0{status.st_size}\0{status.st_mtime_ns}{label}"


def read_states(source: Source, chunk: Chunk) -> list[str]:
    """Return the states of a chunk as reading its headers would, without opening a file."""
    root, states = source.root, _names(chunk)
    for candidate in chunk.candidates:
        with contextlib.suppress(OSError):
            states.append(state(candidate, os.stat(f"{root}/{candidate.path}")))
    return states


def _names(chunk: Chunk) -> list[str]:
    return [*chunk.folders, *(f"{path}\0{reason}" for path, reason in chunk.refused)]


def in_order(work: Callable[[Chunk], ReadChunk], chunks: Iterable[Chunk]) -> Generator[ReadChunk]:
    """Yield `work(chunk)` of each chunk in order: in this thread, or in several if that is slow."""
    chunks = iter(chunks)
    for chunk in chunks:
        started_s = time.perf_counter()
        done = work(chunk)
        is_slow = time.perf_counter() - started_s > _SLOW_FILE_S * max(len(chunk), 16)
        yield done
        if is_slow:
            break
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="headers") as pool:
        running: deque[Future[ReadChunk]] = deque()
        try:
            for chunk in chunks:
                running.append(pool.submit(work, chunk))
                if len(running) >= 2 * _THREADS:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def _fail_for(refused: list[Refused]) -> None:
    """Raise the error of the first file whose refusal has one."""
    for path, reason in refused:
        if reason.error_number == errors.InvalidArchive.number:
            raise errors.InvalidArchive("expected no such member", where=path, got=reason)
        if reason.error_number is not None:
            raise errors.UnreadableFile("expected a readable file", where=path, got=reason)


def _reason(error: errors.FileError) -> Reason:
    if isinstance(error, errors.ImageTooLarge):
        return Reason.TOO_LARGE
    is_missing = isinstance(error.__cause__, FileNotFoundError)
    return Reason.MISSING if is_missing else Reason.UNREADABLE


def _cannot_read(candidate: Candidate, error: OSError) -> errors.UnreadableFile:
    got = error.strerror or type(error).__name__
    return errors.UnreadableFile("expected a readable file", where=candidate.path, got=got)
