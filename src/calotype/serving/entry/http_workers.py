"""The workers of `--isolation none`: each speaks HTTP on the one listening socket."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from dataclasses import replace
from typing import Final

from calotype.serving.entry.fork_client import ForkConfiguration
from calotype.serving.entry.standby import Standby
from calotype.serving.entry.supervisor import Supervisor, WorkerLink
from calotype.serving.entry.wire import Frame
from calotype.serving.front import FrontSettings
from calotype.serving.journal import Journal
from calotype.serving.metrics import Meter, shared_memory

_GRACE_S: Final = 0.25  # a script's own timer answers first, where Python can be interrupted


class HttpWorkers:
    """Starts the workers, watches them, and lets them drain at the end."""

    def __init__(
        self,
        front: FrontSettings,
        script: ForkConfiguration,
        listener: socket.socket,
        journal: Journal,
    ) -> None:
        limits = front.service
        workers = limits.workers
        self._listener = listener
        self._patience_s = limits.drain_timeout_s + 1.0  # they answer what they accepted
        self._longest_s = limits.scoring_timeout_ms / 1000 + _GRACE_S
        self._counters = shared_memory(workers + 1)  # and a row for what is known here alone
        configuration = replace(
            script,
            isolation="none",
            settings=front.to_document(),
            shared=(listener.fileno(), self._counters),
        )
        self._supervisor = Supervisor(
            configuration, workers=workers, observer=self, journal=journal
        )
        self._meters = [Meter(self._counters, number) for number in range(workers)]
        self._meter = Meter(self._counters, workers)
        self._standby = Standby(front, listener, self._counters, workers, journal)
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start all workers.

        Raises:
            ScriptFailed: with the trace.
            CalotypeError: they could not listen, or not capture.
        """
        await self._standby.start()
        await self._supervisor.start()
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def reload(self) -> None:
        """Run the script as it is now; the old workers stay when it cannot be used."""
        await self._supervisor.replace()

    async def stop(self) -> None:
        """Let the workers answer what they accepted, and end."""
        if self._watcher is not None:
            self._watcher.cancel()
        await self._standby.stop()
        self._listener.close()
        await self._supervisor.stop(patience_s=self._patience_s)
        os.close(self._counters)

    async def _watch(self) -> None:
        """End workers whose script cannot be interrupted."""
        while True:
            await asyncio.sleep(_GRACE_S)
            self._count()
            now_s = time.monotonic()
            for link in list(self._supervisor.living):
                if self._hangs(link, now_s) and not link.was_killed:
                    self._supervisor.kill(link)

    def _hangs(self, link: WorkerLink, now_s: float) -> bool:
        if link.retired_s is not None:  # its counters may be another's by now
            return now_s - link.retired_s > self._longest_s + self._patience_s
        since_s = self._meters[link.number].scoring_since_s
        return link.has_joined and bool(since_s) and now_s - since_s > self._longest_s

    def joined(self, link: WorkerLink) -> None:
        """Count a worker; it takes connections by itself."""
        self._count()

    def answered(self, link: WorkerLink, frame: Frame) -> None:
        """Never called: these workers answer their callers themselves."""

    def left(self, link: WorkerLink) -> None:
        """Let a worker drain that is no longer wanted."""
        self._count()
        link.close()

    def _count(self) -> None:
        ready = sum(link.has_joined for link in self._supervisor.ready)
        self._standby.want(not ready)
        self._meter.ready_workers = ready
        self._meter.restarts = self._supervisor.restarts
