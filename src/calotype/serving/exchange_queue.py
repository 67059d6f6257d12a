"""Requests and answers on their way from the event loop to a thread that writes them."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from calotype.serving.exchange import Answer, Request
from calotype.serving.journal import Journal

MAX_WAITING_BYTES: Final = 64 << 20
MAX_WAITING: Final = 10_000  # exchanges
_EVERY_S: Final = 0.2


class Exchange(NamedTuple):
    """One request with its answer, and when that was given, as `time.time` says."""

    time_s: float
    request: Request
    answer: Answer


class ExchangeQueue:
    """Hands exchanges to a thread; never waits, and drops them when too much is waiting.

    Args:
        name: of what is done with them, for the log.
        write: is called in the thread with those that have arrived.
        journal: is told the first time that something cannot be written.

    Attributes:
        dropped: how many were not written.
    """

    def __init__(
        self, name: str, write: Callable[[Sequence[Exchange]], None], journal: Journal
    ) -> None:
        self.dropped = 0
        self._name = name
        self._write = write
        self._journal = journal
        self._waiting: collections.deque[Exchange] = collections.deque()
        # Each is written by one thread only, so that neither needs a lock.
        self._bytes_in = 0
        self._bytes_out = 0
        self._wake = threading.Event()
        self._is_closed = False
        self._has_failed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, request: Request, answer: Answer) -> None:
        """Keep one exchange, if there is room."""
        size = len(request.body) + len(answer.body)
        is_full = self._bytes_in - self._bytes_out + size > MAX_WAITING_BYTES
        if is_full or len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        self._bytes_in += size
        self._waiting.append(Exchange(time.time(), request, answer))

    def close(self) -> None:
        """Write what is waiting and stop."""
        self._is_closed = True
        self._wake.set()
        self._thread.join(timeout=5.0)

    def note_failure(self, error: Exception, count: int = 1) -> None:
        """Count exchanges that could not be written; the first time is told in the log."""
        self.dropped += count
        if not self._has_failed:
            self._has_failed = True
            cause = getattr(error, "strerror", None) or type(error).__name__
            self._journal.write(f"{self._name} cannot be written", level="error", cause=cause)

    def _run(self) -> None:
        while not self._is_closed:
            self._wake.wait(_EVERY_S)
            self._flush()
        self._flush()

    def _flush(self) -> None:
        while arrived := [self._waiting.popleft() for _ in range(min(len(self._waiting), 200))]:
            try:
                self._write(arrived)
            except Exception as error:  # noqa: BLE001 - one exchange must not end the thread
                self.note_failure(error, len(arrived))
            finally:
                for _, request, answer in arrived:
                    self._bytes_out += len(request.body) + len(answer.body)
