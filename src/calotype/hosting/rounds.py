"""Looking at one thing again and again: at its own pace, and at once when something has changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

logger = logging.getLogger(__name__)

_REST_S: Final = 1.0  # after a look that failed


class Rounds:
    """A task that looks until there is nothing left to look at.

    Args:
        name: for the log.
        look: one look; an error of it is logged, and the next one tries again.
        rest_s: how long to wait for the next one.
        is_over: whether there is nothing left.
    """

    def __init__(
        self,
        name: str,
        look: Callable[[], Awaitable[None]],
        *,
        rest_s: Callable[[], float],
        is_over: Callable[[], bool],
    ) -> None:
        self._name, self._look = name, look
        self._rest_s, self._is_over = rest_s, is_over
        self._bell = asyncio.Event()
        self._looked = asyncio.Condition()
        self._count = 0
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """Look now: something has changed."""
        self._bell.set()

    async def settle(self) -> None:
        """Wake it, and wait until what there is now has been looked at."""
        wanted = self._count + 2  # one may be under way that began before
        while self._count < wanted and not self._is_over():
            self.wake()
            async with self._looked:
                await self._looked.wait()

    async def begun(self, *, within_s: float) -> None:
        """Wait until it has been looked at for the first time, or for as long as that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s), self._looked:
                await self._looked.wait_for(lambda: self._count or self._is_over())

    async def _run(self) -> None:
        while not self._is_over():
            self._bell.clear()
            try:
                await self._look()
            except Exception:  # of one look: without its task nobody would look any more
                logger.exception("%s", self._name)
                await asyncio.sleep(_REST_S)
            async with self._looked:
                self._count += 1
                self._looked.notify_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._rest_s()):
                    await self._bell.wait()

    async def close(self) -> None:
        """Look no more."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self._task
