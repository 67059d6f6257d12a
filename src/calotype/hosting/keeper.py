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
from pathlib import Path
from typing import Any, Final

from calotype import errors
from calotype.hosting import capacity, control, locks
from calotype.hosting.heartbeat import beat
from calotype.hosting.kept_door import KeptDoor
from calotype.hosting.kept_load import KeptLoad
from calotype.hosting.kept_service import KeptService
from calotype.hosting.launching import start_keeper
from calotype.hosting.layout import Layout
from calotype.hosting.log_files import RotatingLog
from calotype.hosting.standby import LOCK_DESCRIPTOR
from calotype.workspace.machine import is_here
from calotype.workspace.services import Service
from calotype.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 1.0
_SEARCH_EVERY_S: Final = 5.0
_ROTATE_EVERY_S: Final = 20.0
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
        self._services: dict[str, KeptService] = {}
        self._door = KeptDoor(workspace, self._layout, self._services, self._ring)
        self._load = KeptLoad(workspace, self._layout, self._services, self.refresh)
        self._seen: object = None
        self._rotated_s = time.monotonic()
        self._searched_s = 0.0
        self._is_up: bool | None = None
        self._idle_since_s = time.monotonic()
        self._commands: asyncio.Server | None = None
        self._refreshing = asyncio.Lock()
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
                try:
                    await self._look()
                except Exception:  # the database may be back at the next look
                    logger.exception("the records cannot be read")
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
            for kept in self._services.values():
                kept.record = None
                kept.wake()
            self._is_up = False
            await self._door.keep(is_up=False)
            return
        await self._keep_socket()
        await self.refresh()
        await self._search()
        await self._door.keep(is_up=self._is_up)
        await self._keep_standby()
        await self._load.look()
        if time.monotonic() - self._rotated_s > _ROTATE_EVERY_S:
            self._rotated_s = time.monotonic()
            for log in (self._layout.keeper_log, self._layout.front_door_log):
                await asyncio.to_thread(RotatingLog(log).rotate)

    async def refresh(self, *, anew: bool = False) -> None:
        """Read the records, if they have changed."""
        async with self._refreshing:
            found = await asyncio.to_thread(self._changed_records, anew)
            if found is None:
                return
            is_up, records = found
            self._is_up = is_up
            places = capacity.places(records, capacity.machine())
            for record in records:
                self._take(
                    record,
                    {one.name: places[record.name, one.name] for one in record.versions},
                )
            for name in self._services.keys() - {record.name for record in records}:
                if self._services[name].record is not None:
                    self._services[name].record = None
                    self._services[name].wake()

    def _changed_records(self, anew: bool) -> tuple[bool | None, list[Service]] | None:
        seen = self._workspace.services.fingerprint(), self._workspace.fact("is_up")
        if seen == self._seen and not anew:
            return None
        place = self._workspace.place
        records = [
            one
            for one in self._workspace.services.list()
            if one.target != "batch" and is_here(place, one.host)
        ]
        self._seen = seen
        return seen[1], records

    async def _search(self, *, anew: bool = False) -> None:
        """Wind up what runs without a record: of services that were deleted while nobody looked."""
        now_s = time.monotonic()
        if self._searched_s and now_s - self._searched_s < _SEARCH_EVERY_S and not anew:
            return
        self._searched_s = now_s
        for name in await asyncio.to_thread(_running_services, self._layout):
            if name not in self._services:
                logger.warning("service %s runs and has no record", name)
                self._services[name] = KeptService(
                    self._workspace, self._layout, name, None, self._door
                )

    def _take(self, record: Service, places: dict[str, capacity.Place]) -> None:
        kept = self._services.get(record.name)
        if kept is not None and (kept.is_over or _is_another(kept, record)):
            if not kept.is_over:  # deleted and made anew before we looked
                kept.record = None
                kept.wake()
                return
            kept = None
        if kept is None:
            kept = KeptService(
                self._workspace, self._layout, record.name, record, self._door, places
            )
            self._services[record.name] = kept
        is_wanted = self._is_up is not False
        if (kept.record, kept.places, kept.is_wanted) != (record, places, is_wanted):
            kept.record, kept.places, kept.is_wanted = record, places, is_wanted
            kept.wake()

    def _is_at_its_end(self) -> bool:
        over = [name for name, kept in self._services.items() if kept.is_over]
        for name in over:
            del self._services[name]
        if over:
            self._seen = None
        now_s = time.monotonic()
        if self._is_up or any(self._is_needed(kept) for kept in self._services.values()):
            self._idle_since_s = now_s
        return now_s - self._idle_since_s > (0 if self._is_up is False else _LINGERS_S)

    def _is_needed(self, kept: KeptService) -> bool:
        record = kept.record
        is_wanted = kept.is_wanted and record is not None and record.desired == "running"
        return is_wanted or not kept.is_idle or (record is None and not kept.is_over)

    async def _keep_standby(self) -> None:
        if not locks.is_held(self._layout.standby_lock):
            await asyncio.to_thread(start_keeper, self._workspace.place.root)

    async def _close(self) -> None:
        for kept in self._services.values():
            await kept.close()
        if not any(not kept.is_idle for kept in self._services.values()):
            await self._door.stop()
            _end_standby(self._layout)
            # Nobody is left who could have a socket there.
            shutil.rmtree(self._layout.sockets, ignore_errors=True)

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
        await self.refresh(anew=True)
        self._bell.set()
        name = str(command.get("service", ""))
        if name not in self._services:
            await self._search(anew=True)
        kept = self._services.get(name)
        if kept is not None:
            await kept.settle()
        return {}

    async def _answer_state(self, command: dict[str, Any]) -> dict[str, Any]:
        await self.refresh()
        kept = self._services.get(str(command["service"]))
        found = kept.observation() if kept is not None else None
        return {"observation": found.to_document() if found is not None else None}

    async def _answer_status(self, _command: dict[str, Any]) -> dict[str, Any]:
        await self.refresh()
        found = {name: kept.observation() for name, kept in self._services.items()}
        return {
            "pid": os.getpid(),
            "standby": locks.facts(self._layout.standby_lock).get("pid"),
            "front_door": self._door.status(),
            "services": {name: one.to_document() for name, one in found.items() if one},
        }

    async def _answer_reload(self, command: dict[str, Any]) -> dict[str, Any]:
        kept = self._services.get(str(command["service"]))
        if kept is None:
            raise errors.NotFound(
                f"expected a service '{command['service']}'", where="this workspace", got="none"
            )
        await kept.reload()
        return {}

    async def _answer_up(self, command: dict[str, Any]) -> dict[str, Any]:
        await self.refresh(anew=True)
        if command.get("is_moved"):
            await self._door.move()
        for kept in self._services.values():
            kept.forgive()
        await self._door.keep(is_up=self._is_up)
        self._bell.set()
        await self._door.wait_ready()
        return {}

    async def _answer_down(self, _command: dict[str, Any]) -> dict[str, Any]:
        await self.refresh(anew=True)
        self._bell.set()
        deadline_s = time.monotonic() + _ENDS_WITHIN_S
        while time.monotonic() < deadline_s:
            if all(kept.is_idle for kept in self._services.values()):
                break
            await asyncio.sleep(0.05)
        await self._door.stop()
        self._bell.set()
        return {"pid": os.getpid()}


def _running_services(layout: Layout) -> set[str]:
    """Return the names of the services of which a replica lives."""
    found = layout.run.glob("services/*/replicas/*.lock")
    return {path.parent.parent.name for path in found if locks.is_held(path)}


def _is_another(kept: KeptService, record: Service) -> bool:
    """Whether a record is of a new service, which got the name of one that was deleted."""
    known = kept.record
    return known is None or (known.created_at, known.target) != (record.created_at, record.target)


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
