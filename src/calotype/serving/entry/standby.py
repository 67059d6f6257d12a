"""Who answers while no worker does: `--isolation none`, during `init` and after deaths."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Final

from calotype.serving import refusals
from calotype.serving.exchange import Answer, Request
from calotype.serving.front import Front, FrontSettings, capture_of
from calotype.serving.journal import Journal
from calotype.serving.metrics import Meter
from calotype.serving.openapi.contract import ServiceContract
from calotype.serving.service import State

_GRACE_S: Final = 1.0  # for a request that is on its way over a connection that was accepted


class Standby:
    """Answers 503, and the metrics, on a socket that workers share, while none of them is ready.

    Args:
        front: as the workers have it.
        listener: the socket; stays open.
        counters: memory of the counters.
        row: of the counters, for what is counted here.
        journal: the log.
    """

    def __init__(
        self,
        front: FrontSettings,
        listener: socket.socket,
        counters: int,
        row: int,
        journal: Journal,
    ) -> None:
        self._settings = front
        self._listener = listener
        self._counters = counters
        self._row = row
        self._journal = journal
        self._is_wanted = False
        self._is_stopped = False
        self._front: Front | None = None
        self._switching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Answer from now on.

        Raises:
            CalotypeError: the settings of the front cannot be used, by workers neither.
        """
        capture = capture_of(self._settings, self._journal)
        if capture is not None:
            await asyncio.to_thread(capture.close)
        self._is_wanted = True
        await self._open()

    def want(self, is_wanted: bool) -> None:
        """Answer, or leave that to the workers, soon."""
        self._is_wanted = is_wanted and not self._is_stopped
        if self._is_wanted == (self._front is not None):
            return
        if self._front is not None:
            self._front.stop_listening()  # now: who asks from now on finds the workers alone
        if self._switching is None or self._switching.done():
            self._switching = asyncio.get_running_loop().create_task(self._switch())

    async def stop(self) -> None:
        """Answer what was accepted, then end."""
        self._is_wanted, self._is_stopped = False, True
        if self._switching is not None:
            await self._switching
        await self._close()

    async def _switch(self) -> None:
        while self._is_wanted != (self._front is not None):
            try:
                await (self._open() if self._is_wanted else self._close(grace_s=_GRACE_S))
            except Exception as error:  # noqa: BLE001 - workers go on without it
                self._journal.write("standby failed", level="error", cause=str(error))
                return

    async def _open(self) -> None:
        settings = replace(self._settings, capture="")  # nothing is scored here
        meter = Meter(self._counters, self._row)
        service = _Absent(meter)
        listener = self._listener.dup()
        try:
            front = Front(settings, service, listener, meter=meter, journal=self._journal)
            await front.start()
        except BaseException:
            listener.close()
            raise
        self._front = front

    async def _close(self, *, grace_s: float = 0.0) -> None:
        front, self._front = self._front, None
        if front is not None:
            if grace_s:
                await front.retire(grace_s=grace_s)
            await front.stop()


class _Absent:
    """A service without workers."""

    state: State = "starting"
    contract = ServiceContract()
    methods = frozenset[str]()

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    @property
    def ready_workers(self) -> int:
        """How many workers take requests."""
        return self._meter.ready_workers

    @property
    def restarts(self) -> int:
        """How often one of them was replaced because it died."""
        return self._meter.restarts

    async def start(self) -> None:
        """Nothing."""

    async def stop(self) -> None:
        """Nothing."""

    async def score(self, request: Request) -> Answer:
        """Refuse."""
        raise refusals.overloaded("The service is not ready.")
