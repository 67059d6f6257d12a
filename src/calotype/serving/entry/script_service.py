"""An entry script as a service: its code runs in worker processes, one request each at a time."""

from __future__ import annotations

import asyncio
import collections
import time
from dataclasses import dataclass, field
from typing import Final

from calotype.serving import refusals
from calotype.serving.entry import wire
from calotype.serving.entry.fork_client import ForkConfiguration
from calotype.serving.entry.supervisor import Frame, Supervisor, WorkerLink
from calotype.serving.exchange import Answer, Request
from calotype.serving.journal import Journal
from calotype.serving.openapi.contract import ServiceContract
from calotype.serving.service import State
from calotype.serving.settings import ServiceSettings
from calotype.serving.waiting import Pending, Sweeper, WaitingLine

# A worker of a script that is as fast as that has its next request lying ready: else it would wait
# for this process after each one, longer than it works. One that dies has not begun that one.
_FAST_MS: Final = 2.0
_FORGETTING: Final = 0.05  # share of the latest request in the mean
_GRACE_S: Final = 0.25  # a worker's own timer answers first, where Python can be interrupted


@dataclass(slots=True, eq=False)
class _Worker:
    """A worker with the requests that it holds, oldest first."""

    link: WorkerLink
    held: collections.deque[Pending] = field(default_factory=collections.deque[Pending])
    is_leaving: bool = False


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
        self._supervisor = Supervisor(
            configuration, workers=settings.workers, observer=self, journal=journal
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
        """`ready` while at least one worker is."""
        if self._state == "ready" and not self.ready_workers:
            return "starting"
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
        worker = self._workers[link] = _Worker(link)
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
        if worker.held:
            worker.held.popleft().settle(refusals.worker_died())
        while worker.held:
            self._line.return_first(worker.held.pop())
        for other in list(self._idle):
            self._idle.remove(other)
            self._fill(other)

    def answered(self, link: WorkerLink, frame: Frame) -> None:
        """Pass an answer on, and give the worker its next request."""
        kind, status, head, body, elapsed_ms = frame
        worker = self._workers[link]
        pending = worker.held.popleft()
        pending.request.timings["infer"] = elapsed_ms
        self._take_note_of(elapsed_ms)
        if not pending.future.done():
            if kind == wire.ANSWER:
                pending.future.set_result(wire.unpack_answer(status, head, body))
            else:
                pending.future.set_exception(wire.unpack_refusal(status, head, body))
        if worker.held:
            worker.held[0].since_s = time.monotonic()  # its turn begins now
        if not worker.is_leaving:
            self._fill(worker)
        elif not worker.held:
            link.close()

    def _take_note_of(self, elapsed_ms: float) -> None:
        self._mean_ms += _FORGETTING * (elapsed_ms - self._mean_ms)
        ahead = 1 if self._mean_ms < _FAST_MS else 0
        self._most_held = self._settings.max_concurrent_requests + ahead

    def _worker_with_room(self) -> _Worker | None:
        if self._idle:
            return self._idle.pop()
        if self._most_held == 1:
            return None
        least = min(self._workers.values(), key=_load, default=None)
        return least if least is not None and _load(least) < self._most_held else None

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
        worker.held.append(pending)
        worker.link.send(wire.pack_request(pending.request, with_headers=self._needs_headers))

    def _sweep(self) -> bool:
        """Refuse who waited too long, and end workers that hang."""
        self._line.sweep()
        latest_s = time.monotonic() - self._timeout_s - _GRACE_S
        for worker in self._workers.values():
            if worker.held and worker.held[0].since_s < latest_s and not worker.link.was_killed:
                worker.held[0].settle(refusals.timed_out(self._settings.scoring_timeout_ms))
                self._supervisor.kill(worker.link)
        return bool(len(self._line)) or any(w.held for w in self._workers.values())


def _load(worker: _Worker) -> int:
    return len(worker.held) if not worker.is_leaving else 1 << 30
