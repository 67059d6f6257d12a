"""The process of the front door as the keeper sees it: started, adopted, ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from calotype import errors
from calotype.hosting import control, door_address, locks, processes
from calotype.hosting.launching import environment
from calotype.hosting.layout import Layout
from calotype.hosting.log_files import RotatingLog

logger = logging.getLogger(__name__)

_DELAYS_S: Final = (0.0, 0.5, 1.0, 2.0, 5.0)
_LONG_S: Final = 60.0  # who ran that long did not die of its start
_LEAVES_WITHIN_S: Final = 40.0


class DoorProcess:
    """One front door at a time.

    Args:
        root: the `.calotype` folder.
        layout: places of the workspace.
        ended: told when it has ended.
    """

    def __init__(self, root: Path, layout: Layout, ended: Callable[[], None]) -> None:
        self._root = root
        self._layout = layout
        self._ended = ended
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: processes.Watch | None = None
        self._listener: socket.socket | None = None
        self._starts = 0
        self._started_s = 0.0

    @property
    def is_running(self) -> bool:
        """Whether it lives, whoever started it."""
        return locks.is_held(self._layout.front_door_lock)

    @property
    def is_watched(self) -> bool:
        """Whether its end will be told."""
        return self._watch is not None

    @property
    def facts(self) -> dict[str, Any]:
        """What it says of itself; nothing when it does not run."""
        return locks.facts(self._layout.front_door_lock) if self.is_running else {}

    @property
    def is_due(self) -> bool:
        """Whether it may be started, now: one that ends at once is tried less and less often."""
        delay_s = _DELAYS_S[min(self._starts, len(_DELAYS_S) - 1)]
        return self._process is None and time.monotonic() - self._started_s >= delay_s

    @property
    def port(self) -> int:
        """Where we hold a listening socket; 0 for nowhere."""
        return self._listener.getsockname()[1] if self._listener is not None else 0

    def listen(self, facts: Mapping[str, Any]) -> None:
        """Hold a listening socket, so that callers wait while one door follows another.

        Raises:
            CannotListen: it cannot be had; it holds the one that it had before.
        """
        before = self._listener.getsockname()[:2] if self._listener is not None else None
        if before is not None and before[1] == facts["port"]:
            self.let_go()  # one port cannot be held at two addresses
        try:
            listener = door_address.bind(facts)
        except errors.CannotListen:
            if before is not None and self._listener is None:
                with contextlib.suppress(errors.CannotListen):
                    self._listener = door_address.bind({"host": before[0], "port": before[1]})
            raise
        self.let_go()
        self._listener = listener

    async def start(self) -> None:
        """Start it at the socket that we hold."""
        now_s = time.monotonic()
        self._starts = 0 if now_s - self._started_s > _LONG_S else self._starts + 1
        self._started_s = now_s
        self._process = await asyncio.to_thread(self._spawn)
        self._watch = processes.Watch(self._process.pid, self._has_ended, self._process)
        logger.info("front door %d at port %d", self._process.pid, self.port)

    def _spawn(self) -> subprocess.Popen[bytes]:
        listener = self._listener.fileno() if self._listener is not None else -1
        with open(RotatingLog(self._layout.front_door_log).open(), "r+b", buffering=0) as log:
            return subprocess.Popen(  # noqa: S603 - our own program
                [
                    sys.executable,
                    "-m",
                    "calotype.hosting.front_door",
                    str(self._root),
                    "--listener",
                    str(listener),
                ],
                pass_fds=[listener] if listener >= 0 else [],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                cwd=self._layout.run,
                start_new_session=True,
            )

    async def adopt(self, pid: int) -> None:
        """Take over one that another keeper started."""
        await self.fetch_listener()
        self._watch = processes.Watch(pid, self._has_ended)

    async def fetch_listener(self) -> None:
        """Hold the socket of a door that runs, in place of the one that we have."""
        self.let_go()
        fetch = control.fetch_descriptors
        with contextlib.suppress(control.NobodyThere, OSError):
            socket_ = self._layout.front_door_socket
            for descriptor in await asyncio.to_thread(fetch, socket_, "listener", timeout_s=2):
                self._listener = socket.socket(fileno=descriptor)

    def let_go(self) -> None:
        """Hold no socket: callers would wait for ever."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _has_ended(self) -> None:
        self._watch = self._process = None
        self._ended()

    async def stop(self) -> None:
        """Let it answer what it has accepted, and end."""
        self.let_go()
        process = self._process  # it may have no lock yet
        pid = self.facts.get("pid") or (process.pid if process is not None else 0)
        if not pid:
            return
        _signal(pid, signal.SIGTERM)
        deadline_s = time.monotonic() + _LEAVES_WITHIN_S
        while self.is_alive and time.monotonic() < deadline_s:
            await asyncio.sleep(0.05)
        if self.is_alive:
            _signal(pid, signal.SIGKILL)
        for path in (self._layout.front_door_lock, self._layout.front_door_socket):
            path.unlink(missing_ok=True)

    @property
    def is_alive(self) -> bool:
        """Whether there is one, even if it has not taken its lock yet."""
        return self.is_running or self._process is not None


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
