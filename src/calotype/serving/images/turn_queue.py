"""Who is next: requests take turns, so that one with a thousand images does not hold up the rest.

A runner that is free takes what waits, at most its share, and never waits for company.
"""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from calotype.serving import refusals
from calotype.serving.images.work import Item, Job
from calotype.serving.refusals import Refusal
from calotype.serving.waiting import patience_s


@dataclass(frozen=True, slots=True)
class Turn:
    """What a runner does next.

    Attributes:
        work: images with the jobs they belong to; None when there is a body to read first.
        body_of: the job whose body is to be read.
        is_alone: nothing else is being done or waits, so that all cores are free for it.
    """

    work: list[tuple[Job, Item]]
    body_of: Job | None = None
    is_alone: bool = False


class TurnQueue:
    """Jobs that wait for runners; safe for any thread.

    Args:
        runners: how many threads call `take`.
        most_waiting: how many jobs may wait while all runners are busy.
        longest_wait_ms: a job is refused when its first turn does not come within it.
        most_together: the most images of a turn.
        refuse: is called with each job that is thrown out; must not block.
    """

    def __init__(
        self,
        *,
        runners: int,
        most_waiting: int,
        longest_wait_ms: int,
        most_together: int,
        refuse: Callable[[Job, Refusal], None],
    ) -> None:
        self._runners = runners
        self._most_waiting = most_waiting
        self._longest_wait_ms = longest_wait_ms
        self._patience_s = patience_s(longest_wait_ms)
        self._most_together = most_together
        self._refuse = refuse
        self._jobs: collections.deque[Job] = collections.deque()
        self._items = 0  # that the jobs still need turns for
        self._waiting = 0  # jobs that had no turn yet
        self._busy = 0
        self._is_closed = False
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """How many jobs had no turn yet."""
        return self._waiting

    @property
    def busy(self) -> int:
        """How many runners have something to do."""
        return self._busy

    @property
    def is_empty(self) -> bool:
        """Whether no job needs a turn."""
        return not self._jobs

    def put(self, job: Job) -> None:
        """Append a job.

        Raises:
            Refusal: 503, as many are waiting as may.
        """
        with self._changed:
            idle = self._runners - self._busy
            if self._waiting >= self._most_waiting + idle:
                raise refusals.line_full(self._most_waiting)
            job.queued_s = time.monotonic()
            self._waiting += 1
            self._add(job, at_front=False)

    def put_back(self, job: Job) -> None:
        """Put a job in front whose body has been read: its turn had come."""
        with self._changed:
            self._add(job, at_front=True)

    def _add(self, job: Job, *, at_front: bool) -> None:
        if at_front:
            self._jobs.appendleft(job)
        else:
            self._jobs.append(job)
        self._items += job.waiting_items
        self._changed.notify(min(job.waiting_items, self._runners))

    def take(self, *, was_busy: bool) -> Turn | None:
        """Wait for something to do and take it; None when the queue was closed.

        Args:
            was_busy: the runner comes back from a turn.
        """
        with self._changed:
            self._busy -= was_busy
            while not self._is_closed:
                turn = self._next_turn()
                if turn is not None:
                    return turn
                self._changed.wait()
            return None

    def _next_turn(self) -> Turn | None:
        count = min(self._most_together, -(-self._items // self._runners))
        now_s = time.monotonic()
        work: list[tuple[Job, Item]] = []
        while self._jobs and len(work) < count:
            job = self._jobs.popleft()
            if self._throw_out(job, now_s):
                continue
            if work and job.must_be_alone:
                self._jobs.appendleft(job)
                break
            self._begin(job, now_s)
            self._items -= 1
            if job.read is not None:
                self._busy += 1
                return Turn([], body_of=job)
            work.append((job, job.todo[job.taken]))
            job.taken += 1
            if job.waiting_items:
                self._jobs.append(job)
            if job.must_be_alone:
                break
        if not work:
            return None
        self._busy += 1
        return Turn(work, is_alone=len(work) == 1 and self._busy == 1 and not self._jobs)

    def _begin(self, job: Job, now_s: float) -> None:
        if not job.started_s:
            job.started_s = now_s
            self._waiting -= 1

    def _throw_out(self, job: Job, now_s: float) -> bool:
        """Forget a job, taken out of the queue, that nobody waits for or that waited too long."""
        if not job.is_over:
            refusal = self._reason_against(job, now_s)
            if refusal is None:
                return False
            self._refuse(job, refusal)
        self._items -= job.waiting_items
        if not job.started_s:
            self._waiting -= 1
        return True

    def _reason_against(self, job: Job, now_s: float) -> Refusal | None:
        if job.request.is_abandoned:
            return gone()
        is_late = not job.started_s and now_s - job.queued_s > self._patience_s
        return refusals.waited_too_long(self._longest_wait_ms) if is_late else None

    def sweep(self) -> None:
        """Throw out what nobody waits for and what waited too long, so that places become free."""
        now_s = time.monotonic()
        with self._changed:
            kept = [job for job in self._jobs if not self._throw_out(job, now_s)]
            self._jobs = collections.deque(kept)

    def close(self) -> None:
        """Let all runners go."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


def gone() -> Refusal:
    """Return the answer that nobody reads, for the access log: the caller has gone."""
    return Refusal(499, "The caller went away before the answer was ready.")
