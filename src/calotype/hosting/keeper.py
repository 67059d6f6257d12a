"""The keeper of a workspace on this machine: makes what runs equal to what the records want.

It passes no request on: when it dies, services go on, and the standby takes its place.

    python -m calotype.hosting.keeper ROOT
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from calotype import errors
from calotype.hosting import control, locks
from calotype.hosting.heartbeat import beat
from calotype.hosting.keeping import IS_UP
from calotype.hosting.kept_door import KeptDoor
from calotype.hosting.kept_load import KeptLoad
from calotype.hosting.kept_record import stop_writing
from calotype.hosting.kept_service import KeptService
from calotype.hosting.kept_services import KeptServices
from calotype.hosting.launching import start_keeper
from calotype.hosting.layout import Layout
from calotype.hosting.log_files import RotatingLog
from calotype.hosting.observing import observation_of
from calotype.hosting.standby import LOCK_DESCRIPTOR
from calotype.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 1.0
_ROTATE_EVERY_S: Final = 20.0
_LOOKS_WITHIN_S: Final = 3.0  # for the first time
_LINGERS_S: Final = 3.0  # without anything to keep
_ENDS_WITHIN_S: Final = 60.0


class Keeper:
    """Keeps the services of one workspace.

    Args:
        workspace: whose.
        lock: the keeper's lock, held.
    """

    def __init__(self, workspace: Workspace, lock: locks.Held) -> None:
        self._workspace = workspace
        self._layout = Layout.of(workspace.place)
        self._lock = lock
        by_name: dict[str, KeptService] = {}
        self._door = KeptDoor(workspace, self._layout, by_name, self._ring)
        self._services = KeptServices(workspace, self._layout, self._door, by_name)
        self._load = KeptLoad(workspace, self._layout, by_name, self._services.refresh)
        self._rotated_s = time.monotonic()
        self._idle_since_s = time.monotonic()
        self._commands: asyncio.Server | None = None
        self._told = asyncio.Event()
        self._bell = asyncio.Event()

    def _ring(self) -> None:
        self._bell.set()

    async def run(self) -> None:
        """Keep until nothing is wanted any more."""
        self._lock.say({"started_at": time.time(), "socket": str(self._layout.keeper_socket)})
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told.set)
        with contextlib.suppress(Exception):  # a database that fails is told at the first look
            await self._door.learn()
        beating = loop.create_task(beat(self._workspace))
        self._commands = await self._listen()
        logger.info("keeper %d begins", os.getpid())
        try:
            while not self._told.is_set():
                self._bell.clear()
                await self._look()
                if self._is_at_its_end():
                    break
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._bell.wait()
        finally:
            beating.cancel()
            self._commands.close()
            await self._close()
        logger.info("keeper %d ends", os.getpid())

    async def _listen(self) -> asyncio.Server:
        return await control.listen(self._layout.keeper_socket, self._handlers(), log="keeper.log")

    async def _keep_socket(self) -> None:
        """Listen anew when somebody has cleaned up the sockets of living processes."""
        if self._commands is not None and not self._layout.keeper_socket.exists():
            logger.warning("the keeper's socket has gone; it listens anew")
            self._commands.close()
            self._commands = await self._listen()

    async def _look(self) -> None:
        if not self._workspace.place.is_made:
            logger.warning("the workspace has gone")
            self._services.wind_up()
            await _tried("the front door cannot be ended", self._keep_door)
            return
        await _tried("the socket of the keeper cannot be kept", self._keep_socket)
        # Who does not know the records must neither end the door nor take services for strays.
        if await _tried("the records cannot be read", self._read):
            await _tried("the front door cannot be kept", self._keep_door)
        await _tried("no standby can be started", self._keep_standby)
        await _tried("the load cannot be followed", self._load.look)
        await _tried("the logs cannot be shortened", self._rotate)

    async def _read(self) -> None:
        await self._services.refresh()
        await self._services.search()

    async def _keep_door(self) -> None:
        await self._door.keep(is_up=self._services.is_up)

    async def _rotate(self) -> None:
        if time.monotonic() - self._rotated_s > _ROTATE_EVERY_S:
            self._rotated_s = time.monotonic()
            for log in (self._layout.keeper_log, self._layout.front_door_log):
                await asyncio.to_thread(RotatingLog(log).rotate)

    def _is_at_its_end(self) -> bool:
        self._services.forget_over()
        now_s = time.monotonic()
        if self._services.is_up or self._services.is_needed:
            self._idle_since_s = now_s
        return now_s - self._idle_since_s > _LINGERS_S

    async def _keep_standby(self) -> None:
        if not locks.is_held(self._layout.standby_lock):
            await asyncio.to_thread(start_keeper, self._workspace.place.root)

    async def _close(self) -> None:
        await self._services.close()
        await self._door.close()
        if self._services.is_idle:
            await self._door.stop()
            _end_standby(self._layout)
            # Nobody is left who could have a socket there.
            shutil.rmtree(self._layout.sockets, ignore_errors=True)
        stop_writing()

    # Commands

    def _handlers(self) -> dict[str, control.Handler]:
        return {
            "ping": self._answer_ping,
            "changed": self._answer_changed,
            "state": self._answer_state,
            "status": self._answer_status,
            "reload": self._answer_reload,
            "up": self._answer_up,
            "down": self._answer_down,
        }

    async def _answer_ping(self, _command: dict[str, Any]) -> dict[str, Any]:
        self._idle_since_s = time.monotonic()
        return {"pid": os.getpid()}

    async def _answer_changed(self, command: dict[str, Any]) -> dict[str, Any]:
        self._idle_since_s = time.monotonic()
        await self._services.refresh(anew=True)
        self._bell.set()
        name = str(command.get("service", ""))
        if name not in self._services.by_name:
            await self._services.search(anew=True)
        kept = self._services.by_name.get(name)
        if kept is None:
            return {"late": []}
        await kept.rounds.settle()
        return {"late": kept.access.late}

    async def _answer_state(self, command: dict[str, Any]) -> dict[str, Any]:
        await self._services.refresh()
        kept = self._services.by_name.get(str(command["service"]))
        if kept is not None:  # its record may tell of the past
            await kept.rounds.begun(within_s=_LOOKS_WITHIN_S)
        found = observation_of(kept, self._door.uris) if kept is not None else None
        return {"observation": found.to_document() if found is not None else None}

    async def _answer_status(self, _command: dict[str, Any]) -> dict[str, Any]:
        await self._services.refresh()
        kept = dict(self._services.by_name)
        looks = (one.rounds.begun(within_s=_LOOKS_WITHIN_S) for one in kept.values())
        await asyncio.gather(*looks)
        found = {name: observation_of(one, self._door.uris) for name, one in kept.items()}
        return {
            "pid": os.getpid(),
            "standby": locks.facts(self._layout.standby_lock).get("pid"),
            "front_door": self._door.status(),
            "services": {name: one.to_document() for name, one in found.items() if one},
        }

    async def _answer_reload(self, command: dict[str, Any]) -> dict[str, Any]:
        kept = self._services.by_name.get(str(command["service"]))
        if kept is None:
            raise errors.NotFound(
                f"expected a service '{command['service']}'", where="this workspace", got="none"
            )
        await kept.reload()
        return {}

    async def _answer_up(self, command: dict[str, Any]) -> dict[str, Any]:
        self._idle_since_s = time.monotonic()
        await self._door.move(command["door"])
        await asyncio.to_thread(self._workspace.set_fact, IS_UP, True)
        await self._services.refresh(anew=True)
        for kept in self._services.by_name.values():
            kept.forgive()
        await self._door.keep(is_up=self._services.is_up)
        self._bell.set()
        await self._door.wait_ready()
        if self._door.error is not None:
            raise self._door.error
        if not self._door.is_ready:
            raise errors.OperationFailed(
                "expected the front door to listen",
                where=str(self._workspace.place.root),
                got="none that was ready in time",
                action=f"Its log says why: {self._layout.front_door_log}",
            )
        return {}

    async def _answer_down(self, _command: dict[str, Any]) -> dict[str, Any]:
        await self._services.refresh(anew=True)
        self._bell.set()
        deadline_s = time.monotonic() + _ENDS_WITHIN_S
        while time.monotonic() < deadline_s and not self._services.is_idle:
            await asyncio.sleep(0.05)
        await self._door.stop()
        if self._services.is_idle:
            self._told.set()
        self._bell.set()
        return {"pid": os.getpid()}


async def _tried(problem: str, part: Callable[[], Awaitable[None]]) -> bool:
    """Do a part of a look; when it fails, the others are done, and the next look tries again."""
    try:
        await part()
    except errors.CalotypeError as error:  # its message says all, again and again
        logger.error("%s: %s", problem, error)
        return False
    except Exception:
        logger.exception(problem)
        return False
    return True


def _end_standby(layout: Layout) -> None:
    if locks.is_held(layout.standby_lock):
        pid = locks.facts(layout.standby_lock).get("pid")
        if isinstance(pid, int):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Keep the workspace whose `.calotype` folder the command line names."""
    from calotype.serving.server import run

    root = Path(sys.argv[1])
    faulthandler.register(signal.SIGUSR1)  # where it hangs, if it ever does
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    workspace = Workspace.from_config(root)
    run_folder = workspace.place.run_folder
    given = os.environ.pop(LOCK_DESCRIPTOR, "")
    if given:
        lock: locks.Held | None = locks.Held(run_folder / "keeper.lock", int(given))
        os.set_inheritable(int(given), False)
    else:
        lock = locks.Held.take(run_folder / "keeper.lock")
    if lock is None:
        sys.exit("Another process keeps this workspace.")
    run(lambda: Keeper(workspace, lock).run())


if __name__ == "__main__":
    main()
