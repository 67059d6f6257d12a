"""The line of requests that wait for a worker: bounded, fair, and left by those who give up."""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from calotype.serving import refusals
from calotype.serving.exchange import Answer, Request
from calotype.serving.settings import ServiceSettings

_SWEEP_S: Final = 0.02


@dataclass(slots=True, eq=False)
class Pending:
    """A request on its way through a service.

    Attributes:
        request: what was asked.
        future: gets the answer, or a refusal.
        since_s: when it came, on `time.monotonic`.
    """

    request: Request
    future: asyncio.Future[Answer]
    since_s: float = field(default_factory=time.monotonic)

    def settle(self, outcome: Answer | BaseException) -> None:
        """Give the caller an answer or a refusal, unless there is one already."""
        if self.future.done():
            return
        if isinstance(outcome, BaseException):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Sweeper:
    """Looks after those who wait, some fifty times a second for as long as there are any.

    Args:
        sweep: looks after them; returns whether anybody still waits.
    """

    def __init__(self, sweep: Callable[[], bool]) -> None:
        self._sweep = sweep
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """Begin, because somebody waits now."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SWEEP_S, self._run)

    def _run(self) -> None:
        self._timer = None
        if self._sweep():
            self.wake()

    def stop(self) -> None:
        """Sweep no more."""
        if self._timer is not None:
            self._timer.cancel()


def patience_s(longest_wait_ms: int) -> float:
    """Return after how long a request is refused, so that its 503 arrives within the limit.

    Two sweeps before it, or a tenth of it: whoever waits that long would be too late at the next.
    """
    return (longest_wait_ms - min(2e3 * _SWEEP_S, longest_wait_ms / 10)) / 1e3


class WaitingLine:
    """First come, first served; a place in it is lost after `max_request_wait_ms`."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._most = settings.max_queued_requests
        self._wait_ms = settings.max_request_wait_ms
        self._patience_s = patience_s(self._wait_ms)
        self._line: collections.deque[Pending] = collections.deque()

    def __len__(self) -> int:
        return len(self._line)

    def join(self, pending: Pending, *, has_free_worker: bool = False) -> None:
        """Take a request in; one that is to be taken out at once has always room.

        Raises:
            Refusal: 503, the line is full.
        """
        if len(self._line) >= self._most and not has_free_worker:
            raise refusals.line_full(self._most)
        self._line.append(pending)

    def return_first(self, pending: Pending) -> None:
        """Take a request back that a worker had and did not begin; it has not lost its time."""
        self._line.appendleft(pending)

    def next(self) -> Pending | None:
        """Return who is first and still wants an answer; None when nobody does."""
        while self._line:
            pending = self._line.popleft()
            if pending.future.done():
                continue
            if pending.request.is_abandoned:
                pending.settle(refusals.gone())
                continue
            pending.request.timings["queue"] = (time.monotonic() - pending.since_s) * 1000
            return pending
        return None

    def sweep(self) -> None:
        """Refuse those who have waited too long and drop those who have left."""
        oldest_s = time.monotonic() - self._patience_s
        while self._line and (self._line[0].since_s < oldest_s or self._line[0].future.done()):
            pending = self._line.popleft()
            pending.settle(refusals.waited_too_long(self._wait_ms))
        if any(pending.request.is_abandoned for pending in self._line):
            kept = [pending for pending in self._line if not pending.request.is_abandoned]
            for pending in self._line:
                if pending.request.is_abandoned:
                    pending.settle(refusals.gone())
            self._line = collections.deque(kept)
