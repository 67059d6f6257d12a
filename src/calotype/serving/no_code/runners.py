"""A few threads for what would keep the event loop from its other work, with limits on waiting."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from calotype.models.onnx_file import import_onnxruntime
from calotype.serving.exchange import Answer, Request
from calotype.serving.refusals import overloaded, timed_out
from calotype.serving.settings import ServiceSettings

RunOptions = Any  # of ONNX Runtime, which has no types for it


class Runners:
    """Runs one request per thread; the others wait in order, and not for long.

    Args:
        settings: `max_queued_requests`, `max_request_wait_ms` and `scoring_timeout_ms`.
        threads: how many; as many as cores when 0.
    """

    def __init__(self, settings: ServiceSettings, threads: int = 0) -> None:
        count = threads or len(os.sched_getaffinity(0))
        self._free = asyncio.Semaphore(count)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="onnx")
        self._waiting = 0
        self._max_waiting = settings.max_queued_requests
        self._max_wait_s = settings.max_request_wait_ms / 1000
        self._timeout_ms = settings.scoring_timeout_ms

    async def run(self, work: Callable[[RunOptions], Answer], request: Request) -> Answer:
        """Return what `work` returns; the caller's own turn and time are limited.

        Raises:
            Refusal: 503 when the queue is full or the turn did not come, 504 when work took too
                long; ONNX Runtime is told to stop it.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        await self._turn()
        request.timings["queue"] = (loop.time() - started) * 1000
        options = import_onnxruntime().RunOptions()
        done = loop.run_in_executor(self._threads, work, options)
        # The place is free when the thread is, not when its caller stops waiting.
        done.add_done_callback(self._finished)
        try:
            return await asyncio.wait_for(asyncio.shield(done), self._timeout_ms / 1000)
        except TimeoutError:
            options.terminate = True
            raise timed_out(self._timeout_ms) from None
        except asyncio.CancelledError:
            options.terminate = True
            raise

    async def _turn(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        if self._waiting >= self._max_waiting:
            raise overloaded(f"{self._waiting} requests are waiting already (max_queued_requests).")
        self._waiting += 1
        try:
            await asyncio.wait_for(self._free.acquire(), self._max_wait_s)
        except TimeoutError:
            wait_ms = round(self._max_wait_s * 1000)
            raise overloaded(
                f"Its turn did not come within {wait_ms} ms (max_request_wait_ms)."
            ) from None
        finally:
            self._waiting -= 1

    def _finished(self, done: asyncio.Future[Answer]) -> None:
        self._free.release()
        if not done.cancelled():
            done.exception()  # its caller may be gone; then nobody else would look at it

    def close(self) -> None:
        """End the threads when they have done what they do."""
        self._threads.shutdown(wait=False, cancel_futures=True)
