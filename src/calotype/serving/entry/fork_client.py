"""The other end of a fork server: starts it, asks it for workers, hears how they ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from calotype.errors import ScriptFailed
from calotype.secret_variables import for_scripts
from calotype.serving.entry.fork_server import CONTROL_DESCRIPTOR
from calotype.serving.log_text import LogFormat

_GONE_S: Final = 5.0  # a fork server gives its workers two of them


@dataclass(frozen=True, slots=True)
class ForkConfiguration:
    """What a fork server has to know.

    Attributes:
        script: the entry script.
        source_directory: what its imports are relative to (None: its own folder).
        model_directory: what it finds as AZUREML_MODEL_DIR.
        timeout_ms: the longest that scoring may take.
        max_json_depth, max_multipart_parts: limits on bodies that are parsed for the script.
        isolation: `none` when workers speak HTTP themselves.
        settings: for those: all settings of the service.
        environment: further variables of the script's environment.
        log_format: of what the script prints.
        shared: descriptors that every worker gets: the listening socket and the counters.
        python: the interpreter that runs the script; empty for ours.
    """

    script: Path
    source_directory: Path | None = None
    model_directory: Path | None = None
    timeout_ms: int = 60_000
    max_json_depth: int = 64
    max_multipart_parts: int = 100
    isolation: str = "process"
    settings: dict[str, Any] | None = None
    environment: dict[str, str] | None = None
    log_format: LogFormat = "json"
    shared: Sequence[int] = ()
    python: str = ""

    def first_line(self, *, in_workers: bool = False) -> bytes:
        """Return the command that makes a fork server import the script, or let its workers."""
        document = {
            "script": str(self.script),
            "in_workers": in_workers,
            "source_directory": str(self.source_directory) if self.source_directory else None,
            "model_directory": str(self.model_directory) if self.model_directory else None,
            "timeout_ms": self.timeout_ms,
            "max_json_depth": self.max_json_depth,
            "max_multipart_parts": self.max_multipart_parts,
            "isolation": self.isolation,
            "settings": self.settings,
            "log_format": self.log_format,
            "shared": len(self.shared),
        }
        return json.dumps(document).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker ended: with an exit code or by a signal, and the most memory it had."""

    pid: int
    code: int | None
    signal: str | None
    peak_bytes: int


class ForkClient:
    """One fork server.

    Args:
        configuration: what it imports and forks.
        on_death: called for each worker that has ended.
        on_lost: called when the fork server itself has ended, unless `close` was called before.

    Attributes:
        is_lost: whether the fork server has ended by itself.
        has_threads: whether the import started threads, so that each worker imports for itself.
    """

    def __init__(
        self,
        configuration: ForkConfiguration,
        *,
        on_death: Callable[[Death], None],
        on_lost: Callable[[ForkClient], None],
    ) -> None:
        self.is_lost = False
        self.has_threads = False
        self._configuration = configuration
        self._on_death = on_death
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._imported: asyncio.Future[None] = self._loop.create_future()
        self._is_imported = False
        self._pids: set[int] = set()
        self._unread = b""
        self._is_closing = False
        self._control, theirs = socket.socketpair()
        environment = {
            **for_scripts(os.environ),
            **(configuration.environment or {}),
            CONTROL_DESCRIPTOR: str(theirs.fileno()),
        }
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the user chose it
                    [
                        configuration.python or sys.executable,
                        "-m",
                        "calotype.serving.entry.fork_server",
                    ],
                    env=environment,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is the server's affair
                )
            except OSError:
                self._control.close()
                raise

    async def start(self) -> None:
        """Wait until the script is imported.

        Raises:
            ScriptFailed: it cannot be.
        """
        self._send_script()
        self._control.setblocking(False)
        self._loop.add_reader(self._control.fileno(), self._read)
        await self._imported

    def _send_script(self) -> None:
        line = self._configuration.first_line(in_workers=self.has_threads)
        socket.send_fds(self._control, [line], list(self._configuration.shared))

    def fork(self, number: int) -> socket.socket:
        """Ask for a worker; return our end of its socket.

        Raises:
            OSError: the fork server has gone.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            command = json.dumps({"fork": number}).encode() + b"\n"
            try:
                socket.send_fds(self._control, [command], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        return ours

    def kill(self, pid: int) -> None:
        """End a worker now."""
        try:
            # Only its parent knows for sure that the pid is still its own.
            self._control.sendall(json.dumps({"kill": pid}).encode() + b"\n")
        except OSError:
            self._kill_orphan(pid)

    def _kill_orphan(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == self._process.pid:  # else the number is another process's by now
                os.kill(pid, signal.SIGKILL)

    async def close(self) -> None:
        """End the fork server and its workers."""
        if not self._is_closing:
            self._is_closing = True
            self._loop.remove_reader(self._control.fileno())
            self._control.close()
            if not self._is_imported:
                self._process.kill()  # it has no workers, and would hear of the end after that only
        try:
            await asyncio.to_thread(self._process.wait, _GONE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        for pid in self._pids:  # of a fork server that could not end them
            self._kill_orphan(pid)

    def _read(self) -> None:
        try:
            data = self._control.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))

    def _hear(self, told: dict[str, Any]) -> None:
        if "forked" in told:
            self._pids.add(told["pid"])
        elif "died" in told:
            self._pids.discard(told["died"])
            self._on_death(Death(told["died"], told["code"], told["signal"], told["peak_bytes"]))
        elif "has_threads" in told:
            self.has_threads = True
            self._send_script()
        elif "imported" in told and not self._imported.done():
            self._is_imported = True
            self._imported.set_result(None)
        elif "failed" in told and not self._imported.done():
            self._imported.set_exception(ScriptFailed(told["failed"], trace=told["trace"]))

    def _lost(self) -> None:
        self._loop.remove_reader(self._control.fileno())
        self.is_lost = True
        if not self._imported.done():
            code = self._process.wait()
            self._imported.set_exception(
                ScriptFailed(
                    "expected a script that can be imported",
                    where=str(self._configuration.script),
                    got=f"a process that ended with {code} while importing it",
                )
            )
        elif not self._is_closing:
            self._on_lost(self)
