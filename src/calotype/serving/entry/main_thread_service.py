"""An entry script in the process that speaks HTTP: `--isolation none`.

The script runs in the main thread, where its timeouts work as they always did, and HTTP in another.
That saves the way to another process, and a crash of the script takes its connections with it.
"""

from __future__ import annotations

import asyncio
import collections
import os
import queue
import signal
import time
from typing import Final

from calotype.serving import refusals
from calotype.serving.entry.script import EntryScript
from calotype.serving.exchange import Answer, Request
from calotype.serving.openapi.contract import ServiceContract
from calotype.serving.refusals import Refusal
from calotype.serving.service import State
from calotype.serving.settings import ServiceSettings
from calotype.serving.waiting import Pending

_SWEEP_S: Final = 0.02
_GRACE_S: Final = 0.25  # the script's own timer answers first, where Python can be interrupted

_Outcome = tuple[Pending, Answer | Refusal, float]


class MainThreadService:
    """Takes requests in the event loop of one thread and answers them in the main thread."""

    def __init__(self, script: EntryScript, settings: ServiceSettings) -> None:
        self.queue_depth = 0
        self._script = script
        self._settings = settings
        self._calls: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._waiting: collections.deque[Pending] = collections.deque()
        self._done: collections.deque[_Outcome] = collections.deque()
        self._is_ringing = False
        self._scoring: Pending | None = None
        self._state: State = "starting"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        contract = script.contract
        self._contract = ServiceContract.from_dict(contract) if contract else ServiceContract()

    @property
    def state(self) -> State:
        """`ready` from the start: `init` has been run before."""
        return self._state

    @property
    def contract(self) -> ServiceContract:
        """What the script's decorators say, or the generic form."""
        return self._contract

    @property
    def methods(self) -> frozenset[str]:
        """What the script takes."""
        return self._script.methods

    async def start(self) -> None:
        """Be ready."""
        self._loop = asyncio.get_running_loop()
        self._state = "ready"

    async def stop(self) -> None:
        """Let the main thread go."""
        self._state = "stopped"
        self._calls.put(None)

    async def score(self, request: Request) -> Answer:
        """Let the main thread answer."""
        assert self._loop is not None
        if self.queue_depth > self._settings.max_queued_requests:
            raise refusals.line_full(self._settings.max_queued_requests)
        pending = Pending(request, self._loop.create_future())
        self.queue_depth += 1
        self._waiting.append(pending)
        self._calls.put(pending)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
        return await pending.future

    def work(self) -> None:
        """Answer requests in this thread, the main one, until `stop`."""
        assert self._loop is not None
        timeout_ms = self._settings.scoring_timeout_ms
        while (pending := self._calls.get()) is not None:
            started_s = time.monotonic()
            pending.is_taken = True
            outcome: Answer | Refusal
            if pending.future.done() or pending.request.is_abandoned:
                outcome = Answer(499)
            else:
                pending.request.timings["queue"] = (started_s - pending.since_s) * 1000
                pending.since_s = started_s
                self._scoring = pending
                try:
                    outcome = self._script.answer(pending.request, timeout_ms=timeout_ms)
                except Refusal as refusal:
                    outcome = refusal
                self._scoring = None
            self._done.append((pending, outcome, (time.monotonic() - started_s) * 1000))
            if not self._is_ringing:  # one wake-up for all that is done by then
                self._is_ringing = True
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_ringing = False
        while self._done:
            pending, outcome, elapsed_ms = self._done.popleft()
            self.queue_depth -= 1
            pending.request.timings["infer"] = elapsed_ms
            if pending.future.done():
                continue
            if isinstance(outcome, Refusal):
                pending.future.set_exception(outcome)
            else:
                pending.future.set_result(outcome)

    def _sweep(self) -> None:
        """Refuse who waited too long; end the process when its script hangs for good."""
        assert self._loop is not None
        now_s = time.monotonic()
        oldest_s = now_s - self._settings.max_request_wait_ms / 1000
        while self._waiting:
            first = self._waiting[0]
            is_open = not (first.is_taken or first.future.done())
            if is_open and first.since_s > oldest_s:
                break
            self._waiting.popleft()
            if is_open:
                first.future.set_exception(
                    refusals.waited_too_long(self._settings.max_request_wait_ms)
                )
        scoring = self._scoring
        latest_s = now_s - self._settings.scoring_timeout_ms / 1000 - _GRACE_S
        if scoring is not None and scoring.since_s < latest_s:
            os.kill(os.getpid(), signal.SIGKILL)  # the supervisor starts another
        is_idle = self.queue_depth == 0
        self._sweeper = None if is_idle else self._loop.call_later(_SWEEP_S, self._sweep)
