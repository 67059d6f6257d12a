"""The service that is measured: `calotype serve` in a process of its own, watched by psutil."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil

from calotype import errors
from calotype.secret_variables import for_scripts

_SAMPLE_EVERY_S: Final = 0.05
_START_S: Final = 600.0
_STOP_S: Final = 40.0
_LOG_LINES: Final = 20


@dataclass(slots=True)
class Running:
    """A service that answers.

    Attributes:
        facts: what `calotype serve` printed.
        peak_bytes: the most memory that all of its processes had together.
        is_over: whether it had more than it may, and was ended.
    """

    process: subprocess.Popen[bytes]
    facts: dict[str, Any]
    peak_bytes: int = 0
    is_over: bool = False
    _done_s: dict[int, float] = field(default_factory=dict[int, float])

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        port = urlsplit(self.facts["scoring_uri"]).port
        assert port is not None
        return port

    def cpu_s(self) -> float:
        """Return what its processes have computed so far, those too that have ended."""
        for one in self._tree():
            with contextlib.suppress(psutil.Error):
                times = one.cpu_times()
                self._done_s[one.pid] = times.user + times.system
        return sum(self._done_s.values())

    def sample(self) -> int:
        """Look at its memory; return the bytes."""
        total = 0
        for one in self._tree():
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss
        self.peak_bytes = max(self.peak_bytes, total)
        return total

    def _tree(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []


@contextlib.contextmanager
def running(
    arguments: Sequence[str],
    folder: Path,
    *,
    python: str = "",
    variables: Mapping[str, str] | None = None,
    cores: int = 0,
    most_bytes: int = 0,
) -> Generator[Running]:
    """Start a service, give it when it is ready, and end it.

    Args:
        arguments: of `calotype serve`, beside the address.
        folder: where it runs; gets its log.
        python: the interpreter; ours when empty.
        variables: of its environment.
        cores: how many it may use, where the system allows to say so; 0 for all.
        most_bytes: with more memory it is ended; 0 for no limit.

    Raises:
        OperationFailed: it cannot be started; with the end of its log.
        OutOfMemory: it had more than `most_bytes`.
    """
    log = folder / "serve.log"
    address = ["--host", "127.0.0.1", "--port", "0", "--log-format", "text"]
    command = [python or sys.executable, "-m", "calotype", "-o", "json", "serve"]
    with log.open("wb") as output, _limited(cores):
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*command, *arguments, *address, "--no-access-log"],
            cwd=folder,
            env={**for_scripts(os.environ), **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
    ended = threading.Event()
    service = Running(process, {})
    watcher = threading.Thread(target=_watch, args=(service, ended, most_bytes), daemon=True)
    watcher.start()
    try:
        service.facts = _facts(process, log)
        yield service
        service.sample()
    except errors.OperationFailed:
        if not service.is_over:
            raise
    finally:
        ended.set()
        watcher.join()
        _end(process)
    if service.is_over:
        raise errors.OutOfMemory(
            f"expected a service that needs at most {most_bytes / 1e9:g} GB",
            where="profile",
            got=f"{service.peak_bytes / 1e9:.2f} GB",
            action="Give it more with --memory.",
        )


@contextlib.contextmanager
def _limited(cores: int) -> Generator[None]:
    """Let what is started within use so many cores only; it inherits that from this thread."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(before)[:cores]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _watch(service: Running, ended: threading.Event, most_bytes: int) -> None:
    while not ended.wait(_SAMPLE_EVERY_S):
        if 0 < most_bytes < service.sample():
            service.is_over = True
            _kill(service.process)
            return


def _facts(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    """Wait for what the service prints when it is ready."""
    assert process.stdout is not None
    timer = threading.Timer(_START_S, _kill, args=(process,))
    timer.daemon = True
    timer.start()
    text = b""
    try:
        while line := process.stdout.readline():
            text += line
            with contextlib.suppress(ValueError):
                facts: dict[str, Any] = json.loads(text)
                return facts
    finally:
        timer.cancel()
    said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    raise errors.OperationFailed(
        "expected the service to start", where="profile", got="\n".join(said) or "nothing"
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    ends_s = time.monotonic() + _STOP_S
    while process.poll() is None and time.monotonic() < ends_s:
        time.sleep(0.01)
    _kill(process)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
