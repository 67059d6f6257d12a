"""An entry script as a service: its code runs in worker processes, one request each at a time."""

from __future__ import annotations

import asyncio
import collections
import itertools
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from calotype.serving import refusals
from calotype.serving.entry import wire
from calotype.serving.entry.claims import ROWS, Claims, claims_memory
from calotype.serving.entry.fork_client import ForkConfiguration
from calotype.serving.entry.supervisor import Supervisor, WorkerLink
from calotype.serving.exchange import Answer, Request
from calotype.serving.journal import Journal
from calotype.serving.openapi.contract import ServiceContract
from calotype.serving.service import State
from calotype.serving.settings import ServiceSettings
from calotype.serving.waiting import Pending, Sweeper, WaitingLine

# A worker of a script that is as fast as that has its next request lying ready: else it would wait
# for this process after each one, longer than it works. One that dies has not begun that one.
_FAST_MS: Final = 2.0
_STAGES: Final = ("decode", "infer", "encode")
_SLOW_S: Final = 0.01  # what lies behind a request that takes longer is taken back
_FORGETTING: Final = 0.05  # share of the latest request in the mean
_GRACE_S: Final = 0.25  # a worker's own timer answers first, where Python can be interrupted


@dataclass(slots=True, eq=False)
class _Held:
    """A request that a worker has got; None once it was taken back, until the worker knows."""

    pending: Pending | None
    number: int


@dataclass(slots=True, eq=False)
class _Worker:
    """A worker with the requests that it holds; it scores the first, the others lie ready.

    Attributes:
        row: its place in the claims.
        turn_s: since when it scores the first one, on `time.monotonic`.
        is_recalled: whether what lies ready is being taken back: it gets nothing new until then.
        is_leaving: whether it will get nothing any more.
    """

    link: WorkerLink
    row: int
    held: collections.deque[_Held] = field(default_factory=collections.deque[_Held])
    turn_s: float = 0.0
    is_recalled: bool = False
    is_leaving: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it may get requests."""
        return not (self.is_leaving or self.is_recalled)


class ScriptService:
    """Gives each request to a free worker; a worker that dies costs what it held, and no more.

    Args:
        configuration: the script.
        settings: how many workers, and how long anything may take.
        journal: where deaths are told.
    """

    def __init__(
        self, configuration: ForkConfiguration, settings: ServiceSettings, journal: Journal
    ) -> None:
        self._settings = settings
        self._timeout_s = settings.scoring_timeout_ms / 1000
        self._line = WaitingLine(settings)
        self._shared = claims_memory()
        self._claims = Claims(self._shared)
        self._rows = itertools.cycle(range(ROWS))
        self._numbers = itertools.count(1)
        self._supervisor = Supervisor(
            replace(configuration, shared=(self._shared,)),
            workers=settings.workers,
            observer=self,
            journal=journal,
        )
        self._workers: dict[WorkerLink, _Worker] = {}
        self._idle: list[_Worker] = []
        self._most_held = settings.max_concurrent_requests
        self._mean_ms = 2 * _FAST_MS  # of scoring, lately
        self._needs_headers = True
        self._contract = ServiceContract()
        self._methods = frozenset[str]()
        self._state: State = "starting"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeper = Sweeper(self._sweep)

    @property
    def state(self) -> State:
        """`ready` while at least one worker is, `recovering` when all have died."""
        if self._state == "ready" and not self.ready_workers:
            return "recovering"
        return self._state

    @property
    def contract(self) -> ServiceContract:
        """What the script's decorators say, or the generic form."""
        return self._contract

    @property
    def methods(self) -> frozenset[str]:
        """What the script takes."""
        return self._methods

    @property
    def queue_depth(self) -> int:
        """How many requests are waiting for a worker."""
        return len(self._line)

    @property
    def ready_workers(self) -> int:
        """How many workers take requests."""
        return sum(not worker.is_leaving for worker in self._workers.values())

    @property
    def restarts(self) -> int:
        """How often a worker was replaced because it died."""
        return self._supervisor.restarts

    async def start(self) -> None:
        """Import the script and wait for `init` of all workers.

        Raises:
            ScriptFailed: with the trace.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await self._supervisor.start()
        except BaseException:
            self._state = "failed"
            raise
        self._state = "ready"

    async def reload(self) -> None:
        """Run the script as it is now; the old workers stay when it cannot be used.

        Raises:
            ScriptFailed: with the trace.
        """
        await self._supervisor.replace()

    async def stop(self) -> None:
        """End all workers."""
        self._state = "stopped"
        self._sweeper.stop()
        await self._supervisor.stop()
        os.close(self._shared)

    async def score(self, request: Request) -> Answer:
        """Let the next free worker answer."""
        assert self._loop is not None
        pending = Pending(request, self._loop.create_future())
        worker = self._worker_with_room() if not len(self._line) else None
        if worker is None:
            self._line.join(pending)
        else:
            self._give(worker, pending)
        self._sweeper.wake()
        return await pending.future

    def joined(self, link: WorkerLink) -> None:
        """Take a worker in."""
        facts = link.facts
        self._methods = frozenset(facts["methods"])
        self._needs_headers = facts["needs_headers"]
        if facts["contract"] is not None:
            self._contract = ServiceContract.from_dict(facts["contract"])
        row = next(self._rows)
        self._claims.clear(row)
        worker = self._workers[link] = _Worker(link, row)
        self._fill(worker)

    def left(self, link: WorkerLink) -> None:
        """Let a worker go; what a dead one was scoring is answered 502, others take the rest."""
        worker = self._workers[link]
        worker.is_leaving = True
        if worker in self._idle:
            self._idle.remove(worker)
        if not link.is_lost:
            if not worker.held:
                link.close()
            return
        del self._workers[link]
        if worker.held and (first := worker.held.popleft().pending) is not None:
            first.settle(refusals.worker_died())
        self._take_back(worker.held)

    def answered(self, link: WorkerLink, frame: wire.Frame) -> None:
        """Pass an answer on, and give the worker its next request."""
        kind, status, head, body, stages = frame
        worker = self._workers[link]
        if link.was_killed:
            return  # who asked has been told, and others have the rest
        held = worker.held.popleft()
        if kind == wire.LEFT:
            self._take_back([held])
        elif held.pending is not None:
            held.pending.request.timings.update(zip(_STAGES, stages, strict=True))
            self._take_note_of(sum(stages))
            unpack = wire.unpack_answer if kind == wire.ANSWER else wire.unpack_refusal
            held.pending.settle(unpack(status, head, body))
        if worker.held:
            self._begin_turn(worker)
        elif worker.is_leaving:
            link.close()
        elif worker.is_recalled:
            worker.is_recalled = False
            self._claims.allow(worker.row)
        if worker.is_open:
            self._fill(worker)

    def _begin_turn(self, worker: _Worker) -> None:
        """Note that a worker scores the first of its requests from now on."""
        worker.turn_s = time.monotonic()
        if (pending := worker.held[0].pending) is not None:
            pending.request.timings["queue"] = (worker.turn_s - pending.since_s) * 1000

    def _take_note_of(self, elapsed_ms: float) -> None:
        self._mean_ms += _FORGETTING * (elapsed_ms - self._mean_ms)
        ahead = 1 if self._mean_ms < _FAST_MS else 0
        self._most_held = self._settings.max_concurrent_requests + ahead

    def _worker_with_room(self) -> _Worker | None:
        if self._idle:
            return self._idle.pop()
        if self._most_held == 1:
            return None
        open_ones = [worker for worker in self._workers.values() if worker.is_open]
        least = min(open_ones, key=lambda worker: len(worker.held), default=None)
        if least is None or len(least.held) >= self._most_held:
            return None
        is_slow = time.monotonic() - least.turn_s > _SLOW_S
        return None if is_slow and self._settings.max_concurrent_requests == 1 else least

    def _fill(self, worker: _Worker) -> None:
        """Give a worker what is waiting, as much as it may hold."""
        while len(worker.held) < self._most_held:
            pending = self._line.next()
            if pending is None:
                break
            self._give(worker, pending)
        if not worker.held:
            self._idle.append(worker)

    def _give(self, worker: _Worker, pending: Pending) -> None:
        number = next(self._numbers)
        worker.held.append(_Held(pending, number))
        if len(worker.held) == 1:
            self._begin_turn(worker)
        worker.link.send(
            wire.pack_request(
                pending.request, with_headers=self._needs_headers, row=worker.row, number=number
            )
        )

    def _take_back(self, held: Iterable[_Held]) -> None:
        """Put requests that no worker has begun to the head of the line, for who is free."""
        returned = [one.pending for one in held if one.pending is not None]
        for pending in reversed(returned):
            self._line.return_first(pending)
        while len(self._line) and self._idle:
            self._fill(self._idle.pop())

    def _sweep(self) -> bool:
        """Refuse who waited too long, take back what lies behind a slow one, end who hangs."""
        self._line.sweep()
        now_s = time.monotonic()
        for worker in self._workers.values():
            if not worker.held:
                continue
            lasts_s = now_s - worker.turn_s
            if lasts_s > self._timeout_s + _GRACE_S and not worker.link.was_killed:
                if (pending := worker.held[0].pending) is not None:
                    pending.settle(refusals.timed_out(self._settings.scoring_timeout_ms))
                self._supervisor.kill(worker.link)
                self._let_go(worker)
            if lasts_s > _SLOW_S and len(worker.held) > 1:
                self._recall(worker)
        return bool(len(self._line)) or any(one.held for one in self._workers.values())

    def _let_go(self, worker: _Worker) -> None:
        """Give others what a worker that is killed has not begun, and give it nothing more."""
        worker.is_leaving = True
        first = worker.held.popleft()
        rest, worker.held = worker.held, collections.deque([first])
        self._take_back(rest)

    def _recall(self, worker: _Worker) -> None:
        """Take back what lies ready at a worker, in two sweeps; see `claims`."""
        if not worker.is_recalled:
            worker.is_recalled = True
            self._claims.recall(worker.row, worker.held[1].number)
            return
        begun = self._claims.begun(worker.row)
        for held in list(worker.held)[1:]:
            if held.number > begun and held.pending is not None:
                pending, held.pending = held.pending, None
                self._take_back([_Held(pending, held.number)])
