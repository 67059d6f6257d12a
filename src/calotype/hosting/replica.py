"""A replica: one process that answers for one revision of a service.

It outlives the keeper that started it. What it is and how it does stands in its lock file; commands
come over its control socket:

    wait      answers when it is ready, or cannot be
    accept    take connections of the listening socket
    retire    take no more, answer what was accepted, end
    health    whether it takes requests, and how many it holds
    access    take other keys, or ask for others
    reload    run the script anew
    listener  the listening socket, for a keeper that has none
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from calotype import errors
from calotype.hosting import control, hosted_service, locks, socket_folder
from calotype.hosting.history import History
from calotype.hosting.keeper_watch import KeeperWatch
from calotype.hosting.log_files import RotatingLog
from calotype.hosting.replica_plan import ReplicaPlan
from calotype.hosting.warm_up import warm_up
from calotype.hosting.wire_server import WireServer
from calotype.serving.front import Front, FrontSettings
from calotype.serving.journal import Journal, JournalHandler
from calotype.serving.metrics import Meter

if TYPE_CHECKING:
    from calotype.serving.service import Service

_LOOK_EVERY_S: Final = 1.0
_IDLE_GRACE_S: Final = 5.0  # a caller's next request may be on its way
_LAST_QUESTION_S: Final = 5.0
_TOLD: Final = ("service", "version", "revision", "replica", "control", "wire", "shape")
FAILED: Final = 3
"""Exit code of a replica whose service cannot be started; its lock file says why."""


class Replica:
    """One replica in the running event loop.

    Args:
        plan: what it is.
        lock: its lock file, held.
    """

    def __init__(self, plan: ReplicaPlan, lock: locks.Held) -> None:
        self._plan = plan
        self._lock = lock
        self._facts: dict[str, Any] = {
            **{name: getattr(plan, name) for name in _TOLD},
            "port": plan.front.service.port,
            "state": "starting",
            "started_at": time.time(),
        }
        self._journal = Journal(plan.front.log_format, with_requests=plan.front.with_access_log)
        self._meter = Meter()
        self._service: Service | None = None
        self._front: Front | None = None
        self._wire: WireServer | None = None
        self._history: History | None = None
        self._log = RotatingLog(Path(plan.log))
        self._listener = socket.socket(fileno=plan.listener) if plan.listener >= 0 else None
        self._settled = asyncio.Event()
        self._told = asyncio.Event()
        self._asked = asyncio.Event()
        self._commands: asyncio.Server | None = None
        self._is_accepting = False
        self._grace_s = 0.0

    async def run(self) -> int:
        """Serve until told to retire; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told.set)
        handler = JournalHandler(self._journal)
        logging.getLogger("calotype").addHandler(handler)
        self._say()
        self._commands = await self._listen()
        watcher = loop.create_task(self._look_around())
        try:
            return await self._serve()
        finally:
            watcher.cancel()
            self._commands.close()
            for path in (self._plan.control, self._plan.wire):
                Path(path).unlink(missing_ok=True)
            socket_folder.leave(Path(self._plan.control).parent)
            logging.getLogger("calotype").removeHandler(handler)
            self._journal.close()

    async def _listen(self) -> asyncio.Server:
        return await control.listen(
            Path(self._plan.control), self._handlers(), log=Path(self._plan.log).name
        )

    async def _keep_sockets(self) -> None:
        """Listen anew when somebody has cleaned up the sockets of living processes.

        One that leaves takes new keys to its end; requests of the front door go to others.
        """
        if self._commands is not None and not Path(self._plan.control).exists():
            self._commands.close()
            self._commands = await self._listen()
        if self._wire is not None and not self._told.is_set():
            await self._wire.keep()

    async def _serve(self) -> int:
        starting = asyncio.ensure_future(self._start())
        told = asyncio.ensure_future(self._told.wait())
        await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
        code = 0
        try:
            if starting.done():
                try:
                    starting.result()
                except Exception as error:  # noqa: BLE001 - whatever it is, the keeper is told
                    self._fail(error)
                    code = FAILED
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LAST_QUESTION_S):
                            await self._asked.wait()
                else:
                    await told
        finally:
            starting.cancel()
            told.cancel()
            await asyncio.wait({starting, told})
            await self._stop()
        return code

    async def _start(self) -> None:
        plan = self._plan
        self._journal.write(
            "starting", kind=plan.kind, service=plan.service, version=plan.version,
            revision=plan.revision, replica=plan.replica, pid=os.getpid(),
        )  # fmt: skip
        self._service = hosted_service.service_of(plan, self._journal)
        self._front = Front(
            plan.front, self._service, None, meter=self._meter, journal=self._journal
        )
        await self._front.start_service()
        await warm_up(self._service, Path(plan.log))
        self._wire = WireServer(self._front.app.answer, Path(plan.wire), self._journal)
        await self._wire.start()
        if plan.history:
            self._history = History(
                Path(plan.history), version=plan.version, replica=plan.replica, meter=self._meter
            )
        self._facts |= {"state": "ready", "ready_at": time.time()}
        self._say()
        self._journal.write("ready")
        self._settled.set()

    def _fail(self, error: Exception) -> None:
        trace = getattr(error, "trace", "")
        if not isinstance(error, errors.CalotypeError):
            trace = traceback.format_exc()
        # A script that died without a word may have been killed: that is worth another try.
        is_final = bool(trace) or not isinstance(error, errors.ScriptFailed)
        self._facts |= {
            "state": "failed", "message": str(error), "trace": trace, "is_final": is_final,
        }  # fmt: skip
        self._say()
        self._journal.write("failed", level="error", message=str(error), trace=trace or None)
        self._settled.set()

    async def _stop(self) -> None:
        self._told.set()
        self._journal.write("stopping")
        # A listening socket that nobody accepts from would keep callers waiting.
        if self._listener is not None:
            self._listener.close()
        if self._front is None:
            return
        leaving: list[Coroutine[Any, Any, None]] = []
        if self._is_accepting:
            leaving.append(self._front.retire(grace_s=self._grace_s))
        if self._wire is not None:
            leaving.append(self._wire.close())
        await asyncio.gather(*leaving)
        await self._front.stop()
        if self._history is not None:
            await asyncio.to_thread(self._history.close)
        self._journal.write("stopped")

    def _say(self) -> None:
        self._lock.say(self._facts)

    def _handlers(self) -> dict[str, control.Handler]:
        return {
            "wait": self._answer_wait,
            "accept": self._answer_accept,
            "retire": self._answer_retire,
            "health": self._answer_health,
            "access": self._answer_access,
            "reload": self._answer_reload,
            "listener": self._answer_listener,
        }

    async def _answer_wait(self, _command: dict[str, Any]) -> dict[str, Any]:
        await self._settled.wait()
        self._asked.set()
        return dict(self._facts)

    async def _answer_accept(self, _command: dict[str, Any]) -> dict[str, Any]:
        if self._listener is not None and self._front is not None and not self._is_accepting:
            self._is_accepting = True
            # Its own copy: the server closes what it got when it retires.
            await self._front.accept(self._listener.dup())
        self._facts["is_accepting"] = True
        self._say()
        return {}

    async def _answer_retire(self, command: dict[str, Any]) -> dict[str, Any]:
        self._grace_s = _IDLE_GRACE_S if command.get("is_replaced") else 0.0
        self._facts["state"] = "retiring"
        self._say()
        if self._front is not None and self._is_accepting:
            self._front.stop_listening()  # before the keeper believes that others answer now
            await asyncio.sleep(0)  # uvloop lets go of the socket in its next turn
        self._told.set()
        return {}

    async def _answer_health(self, _command: dict[str, Any]) -> dict[str, Any]:
        state = self._service.state if self._service is not None else "starting"
        return {
            "state": self._facts["state"] if self._facts["state"] != "ready" else state,
            "in_flight": self._meter.in_flight,
        }

    async def _answer_access(self, command: dict[str, Any]) -> dict[str, Any]:
        if self._front is not None:
            self._front.change_access(FrontSettings.of_document(command["front"]))
        return {}

    async def _answer_reload(self, _command: dict[str, Any]) -> dict[str, Any]:
        if self._front is None:
            raise errors.Busy("expected a service that is ready", where=self._plan.service)
        await self._front.reload()
        return {}

    async def _answer_listener(self, _command: dict[str, Any]) -> dict[str, Any]:
        found = [self._listener.fileno()] if self._listener is not None else []
        return {control.DESCRIPTORS: found}

    async def _look_around(self) -> None:
        """Look after what may go wrong around it; end when nobody keeps it any more."""
        keeper = KeeperWatch(Path(self._plan.keeper_lock))
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            with contextlib.suppress(errors.CalotypeError):  # a full disk: the log has to wait
                await asyncio.to_thread(self._log.rotate)
            with contextlib.suppress(errors.CalotypeError, OSError):  # the next look tries again
                await self._keep_sockets()
            if not await keeper.look():
                if not self._told.is_set():
                    self._journal.write("nobody keeps this service", level="error")
                self._told.set()


def main() -> None:
    """Be the replica that standard input describes."""
    plan = ReplicaPlan.of_document(json.loads(sys.stdin.buffer.read()))
    lock = locks.Held.take(Path(plan.lock))
    if lock is None:
        sys.exit(f"Another process is replica {plan.replica} of service {plan.service}.")
    hosted_service.limit_cores(plan.cpu_cores)
    sys.exit(_run(plan, lock))


def _run(plan: ReplicaPlan, lock: locks.Held) -> int:
    from calotype.serving.server import run

    codes: list[int] = []

    async def serve() -> None:
        codes.append(await Replica(plan, lock).run())

    run(serve)
    return codes[0]


if __name__ == "__main__":
    main()
