"""A few threads for what would keep the event loop from its other work, with limits on waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from calotype.models.onnx_file import import_onnxruntime
from calotype.resources import usable_cores
from calotype.serving.exchange import Answer, Request
from calotype.serving.refusals import timed_out
from calotype.serving.settings import ServiceSettings
from calotype.serving.waiting import Pending, Sweeper, WaitingLine

RunOptions = Any  # of ONNX Runtime, which has no types for it
Work = Callable[[Request, RunOptions], Answer]


class Runners:
    """Runs one request per thread; the others wait in order, and not for long.

    Args:
        work: answers a request; ends early when its options say so.
        settings: `max_queued_requests`, `max_request_wait_ms` and `scoring_timeout_ms`.
        threads: how many; as many as cores when 0.
    """

    def __init__(self, work: Work, settings: ServiceSettings, threads: int = 0) -> None:
        self._work = work
        self._count = threads or usable_cores()
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="onnx")
        self._timeout_ms = settings.scoring_timeout_ms
        self._sweeper = Sweeper(self._sweep)
        self._running: dict[Pending, RunOptions] = {}
        self.line = WaitingLine(settings)

    async def run(self, request: Request) -> Answer:
        """Return what the work returns; the caller's own turn and time are limited.

        Raises:
            Refusal: 503 when the line is full or the turn did not come, 504 when work took too
                long; ONNX Runtime is told to stop it.
        """
        pending = Pending(request, asyncio.get_running_loop().create_future())
        self.line.join(pending, has_free_worker=len(self._running) < self._count)
        self._fill()
        self._sweeper.wake()
        return await pending.future

    def _fill(self) -> None:
        """Give the free threads what is waiting."""
        loop = asyncio.get_running_loop()
        while len(self._running) < self._count and (pending := self.line.next()) is not None:
            options = self._running[pending] = import_onnxruntime().RunOptions()
            done = loop.run_in_executor(self._threads, self._work, pending.request, options)
            timer = loop.call_later(self._timeout_ms / 1000, self._give_up, pending)
            done.add_done_callback(partial(self._finished, pending, timer))

    def _give_up(self, pending: Pending) -> None:
        pending.settle(timed_out(self._timeout_ms))
        self._running[pending].terminate = True

    def _finished(
        self, pending: Pending, timer: asyncio.TimerHandle, done: asyncio.Future[Answer]
    ) -> None:
        # The place is free when the thread is, not when its caller stops waiting.
        del self._running[pending]
        timer.cancel()
        if not done.cancelled():
            pending.settle(done.exception() or done.result())
            self._fill()

    def _sweep(self) -> bool:
        """Refuse who waited too long, and stop what nobody waits for."""
        self.line.sweep()
        for pending, options in self._running.items():
            if pending.request.is_abandoned:
                pending.future.cancel()
            options.terminate = pending.future.done()
        return bool(self._running or len(self.line))

    def close(self) -> None:
        """End the threads when they have done what they do."""
        self._count = 0  # so that nothing else begins
        self._sweeper.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)
