"""Keeps the workers of a script alive: starts, restarts with back-off, replaces and ends them."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from typing import Any, Final, Protocol, cast

from calotype.errors import ScriptFailed
from calotype.serving.entry import wire
from calotype.serving.entry.fork_client import Death, ForkClient, ForkConfiguration
from calotype.serving.entry.fork_server import INIT_FAILED
from calotype.serving.journal import Journal

_SETTLED_S: Final = 10.0  # who lives that long did not die of its start
_FIRST_DELAY_S: Final = 0.1
_LONGEST_DELAY_S: Final = 10.0
_PATIENCE_S: Final = 2.0
_LAST_WORDS_S: Final = 1.0


class Observer(Protocol):
    """Who gives the workers something to do."""

    def joined(self, link: WorkerLink) -> None:
        """A worker is ready."""
        ...

    def answered(self, link: WorkerLink, frame: wire.Frame) -> None:
        """A worker has answered the oldest request that it holds."""
        ...

    def left(self, link: WorkerLink) -> None:
        """A worker has ended, or was told to: it gets nothing more."""
        ...


class WorkerLink(asyncio.Protocol):
    """The server's end of a worker's socket."""

    def __init__(self, supervisor: Supervisor, client: ForkClient, number: int) -> None:
        self.client = client
        """The fork server that it comes from."""
        self.number = number
        self.facts: dict[str, Any] = {}
        """What the worker said when it was ready: pid, methods, contract."""
        self.ready_s: float | None = None
        """When it was ready, on the monotonic clock."""
        self.retired_s: float | None = None
        """When it was told to go."""
        self.is_lost = False
        self.has_joined = False
        self.was_killed = False
        self.transport: asyncio.Transport | None = None
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it is ready; an exception when it cannot be."""
        self._supervisor = supervisor
        self._frames = wire.FrameReader()

    @property
    def is_ready(self) -> bool:
        """Whether `init` has returned."""
        return self.ready_s is not None

    @property
    def is_retired(self) -> bool:
        """Whether it was told to go."""
        return self.retired_s is not None

    @property
    def pid(self) -> int:
        """The worker's process; 0 before it is ready."""
        return self.facts.get("pid", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            if frame[0] in (wire.READY, wire.FAILED):
                self._supervisor.settle(self, frame)
            else:
                self._supervisor.observer.answered(self, frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self._supervisor.lost(self)

    def send(self, data: bytes) -> None:
        """Give the worker one frame."""
        assert self.transport is not None
        self.transport.write(data)

    def close(self) -> None:
        """Let the worker end: it does when it has read that nothing follows."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()

    def abort(self) -> None:
        """Count it as ended: there is nothing that it could still answer."""
        if self.transport is not None:
            self.transport.abort()


class Supervisor:
    """The workers of one script.

    Args:
        configuration: what they run.
        workers: how many.
        observer: who gives them something to do.
        journal: where deaths are told.
    """

    def __init__(
        self,
        configuration: ForkConfiguration,
        *,
        workers: int,
        observer: Observer,
        journal: Journal,
    ) -> None:
        self.observer = observer
        self.restarts = 0
        self._configuration = configuration
        self._count = workers
        self._journal = journal
        self._client: ForkClient | None = None
        self._replaced: list[ForkClient] = []  # whose workers still finish something
        self._links: dict[int, WorkerLink] = {}
        self._replacing = asyncio.Lock()  # two at once would both replace the same ones
        self.living: set[WorkerLink] = set()
        """All workers that have not ended, those too that were told to."""
        self._deaths_in_a_row: dict[int, int] = {}
        self._by_pid: dict[int, WorkerLink] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    @property
    def ready(self) -> list[WorkerLink]:
        """The workers that take requests."""
        return [
            link
            for link in self._links.values()
            if link.is_ready and not (link.is_retired or link.is_lost)
        ]

    async def start(self) -> None:
        """Start all workers and wait until they are ready.

        Raises:
            ScriptFailed: the script cannot be imported, or its `init` failed.
        """
        async with self._replacing:
            await self._adopt()

    async def replace(self) -> None:
        """Import the script anew; its workers take over when they are ready, else nothing changes.

        Raises:
            ScriptFailed: the script as it is now cannot be used.
        """
        async with self._replacing:
            await self._replace()

    async def _replace(self) -> None:
        old_client, old_links = self._client, self._links
        await self._adopt()
        for link in old_links.values():
            self._retire(link)
        if old_client is not None:
            self._replaced.append(old_client)
            self._later(self._close_when_idle(old_client))

    async def _adopt(self) -> None:
        """Start a generation of workers and give it what there is to do."""
        self._client, self._links = await self._generation()
        for link in self._links.values():
            self._join(link)
            if link.is_lost:  # before it was known as ours
                self._later(self._restart(link))
        if self._client.is_lost:
            self._fork_server_lost(self._client)

    def _retire(self, link: WorkerLink) -> None:
        """Let a worker go as soon as it has nothing to do."""
        link.retired_s = time.monotonic()
        if not link.has_joined:
            link.abort()
        elif not link.is_lost:
            self.observer.left(link)

    async def stop(self, *, patience_s: float = _PATIENCE_S) -> None:
        """End all workers; what has not ended by itself after `patience_s` is killed."""
        self._is_stopping = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:  # what they have begun to start, they end
            await asyncio.wait(self._tasks)
        for link in list(self.living):
            link.close()
        deadline_s = time.monotonic() + patience_s
        while self.living and time.monotonic() < deadline_s:
            await asyncio.sleep(0.01)
        clients = [*self._replaced, *([self._client] if self._client else [])]
        await asyncio.gather(*(client.close() for client in clients))

    def kill(self, link: WorkerLink) -> None:
        """End a worker that hangs; another takes its place."""
        link.was_killed = True
        link.client.kill(link.pid)

    async def _generation(self) -> tuple[ForkClient, dict[int, WorkerLink]]:
        client = ForkClient(
            self._configuration, on_death=self._died, on_lost=self._fork_server_lost
        )
        links: dict[int, WorkerLink] = {}
        try:
            await client.start()
            for number in range(self._count):
                links[number] = await self._linked(client, number)
            for link in links.values():
                await link.settled
        except BaseException:
            for link in links.values():
                link.retired_s = time.monotonic()
                link.abort()
            await client.close()
            raise
        if client.has_threads:
            self._journal.write(
                "each worker imports the script", reason="it starts threads when it is imported"
            )
        return client, links

    async def _linked(self, client: ForkClient, number: int) -> WorkerLink:
        connection = client.fork(number)
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(
            lambda: WorkerLink(self, client, number), sock=connection
        )
        if not link.is_lost:
            self.living.add(link)
        return link

    def settle(self, link: WorkerLink, frame: wire.Frame) -> None:
        """Take note of what a worker says after `init`."""
        link.facts = facts = json.loads(frame[3])
        self._by_pid[link.pid] = link
        if frame[0] == wire.READY:
            link.ready_s = time.monotonic()
            link.settled.set_result(None)
        else:
            self._journal.write(
                "init failed", level="error", worker=link.number, trace=facts["trace"]
            )
            link.settled.set_exception(ScriptFailed(facts["message"], trace=facts["trace"]))
            link.settled.exception()  # who starts workers asks; who restarts them does not

    def lost(self, link: WorkerLink) -> None:
        """A worker's socket has closed: it has ended, or is about to."""
        if not link.settled.done():
            failure = ScriptFailed(
                "expected init to return",
                where=str(self._configuration.script),
                got="a process that ended in it",
                action="The log tells how it ended.",
            )
            link.settled.set_exception(failure)
            link.settled.exception()
        link.is_lost = True
        self.living.discard(link)
        if link.has_joined:
            self.observer.left(link)
        is_ours = self._links.get(link.number) is link  # not one of a generation that failed
        if is_ours and not (self._is_stopping or link.is_retired):
            self._later(self._restart(link))

    async def _restart(self, link: WorkerLink) -> None:
        """Put another worker in a worker's place, sooner or later."""
        number = link.number
        is_settled = link.ready_s is not None and time.monotonic() - link.ready_s > _SETTLED_S
        deaths = 0 if is_settled else self._deaths_in_a_row.get(number, 0) + 1
        self._deaths_in_a_row[number] = deaths
        if deaths > 1:
            await asyncio.sleep(_delay_s(deaths - 2))
        new = await self._successor(link)
        if new is None:
            return
        if self._links.get(number) is not link:  # a reload was faster
            new.retired_s = time.monotonic()
            new.abort()
            return
        self.restarts += 1
        self._links[number] = new
        if new.is_lost:  # before it was known as ours
            self._later(self._restart(new))
        try:
            await new.settled
        except ScriptFailed:
            return  # `lost` follows, and with it the next attempt
        if new.is_retired:
            return
        self._journal.write("worker started", worker=number, pid=new.pid)
        self._join(new)

    async def _successor(self, link: WorkerLink) -> WorkerLink | None:
        """Start a worker in a worker's place; None when another generation has taken over."""
        attempts = 0
        while self._links.get(link.number) is link and not link.client.is_lost:
            try:
                return await self._linked(link.client, link.number)
            except OSError as error:  # no descriptors; or the fork server has gone unnoticed yet
                self._journal.write("restart failed", level="error", trace=str(error))
            await asyncio.sleep(_delay_s(attempts))
            attempts += 1
        return None

    def _join(self, link: WorkerLink) -> None:
        if not link.is_lost:
            link.has_joined = True
            self.observer.joined(link)

    def _died(self, death: Death) -> None:
        if death.code == INIT_FAILED and death.pid not in self._by_pid:
            # Its last words come over another socket, and may come after the news of its end.
            asyncio.get_running_loop().call_later(_LAST_WORDS_S, self._tell_death, death)
        else:
            self._tell_death(death)

    def _tell_death(self, death: Death) -> None:
        if self._is_stopping:
            return
        link = self._by_pid.pop(death.pid, None)
        if link is not None and link.is_retired and death.code == 0:
            return  # it was told to go
        if link is not None and not link.is_ready and death.code == INIT_FAILED:
            return  # the cause has been told, with its trace
        hint = None
        if death.signal == "SIGKILL" and not (link and link.was_killed):
            hint = "Nobody here killed it: the system may have run out of memory."
        self._journal.write(
            "worker died",
            level="error",
            pid=death.pid,
            worker=link.number if link else None,
            exit_code=death.code,
            signal=death.signal,
            peak_mb=round(death.peak_bytes / 1e6),
            killed_because="it did not answer in time" if link and link.was_killed else None,
            hint=hint,
        )

    def _fork_server_lost(self, client: ForkClient) -> None:
        if client is self._client and not self._is_stopping:
            self._journal.write("fork server died", level="error")
            self._later(self._start_over(client))

    async def _start_over(self, lost: ForkClient) -> None:
        """Make all workers anew, unless a reload has done so."""
        attempts = 0
        while not self._is_stopping:
            try:
                async with self._replacing:
                    if self._client is lost:
                        await self._replace()
                return
            except Exception as error:  # noqa: BLE001 - or there would be no workers for ever
                trace = error.trace if isinstance(error, ScriptFailed) else traceback.format_exc()
                self._journal.write("restart failed", level="error", trace=trace)
            await asyncio.sleep(_delay_s(attempts))
            attempts += 1

    async def _close_when_idle(self, client: ForkClient) -> None:
        while any(link.client is client for link in self.living):
            await asyncio.sleep(0.05)
        await client.close()
        self._replaced.remove(client)

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _delay_s(attempts: int) -> float:
    """Return how long to wait after that many attempts in vain, beside the first."""
    return min(_FIRST_DELAY_S * 2 ** min(attempts, 10), _LONGEST_DELAY_S)
