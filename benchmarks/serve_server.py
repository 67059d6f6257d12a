"""One server under measurement: started fresh, waited for, checked, loaded and ended."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import serve_load
from serve_load import CHECKED, Load, Payloads
from serve_processes import MARK, Memory, Tree, Watch, undisturbed

_START_S = 120.0
_IDLE_S = 1.0


class ServerFailed(Exception):
    """A server did not start, or answered wrongly."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to start a server and how to call it.

    Attributes:
        name: for the tables.
        command: `{port}` in it stands for the port.
        payloads: what is sent to it.
        path: where it scores.
        health: answers 200 to GET when it is ready; empty for servers that tell only by scoring.
        environment: variables beside those of this process.
    """

    name: str
    command: tuple[str, ...]
    payloads: Payloads
    path: str = "/score"
    health: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Measured:
    """One load and what it cost the server.

    Attributes:
        cpu_us: processor time for each answer, in microseconds, of all processes of the server.
        memory: right after the load.
        is_disturbed: whether strangers took more than a tenth of the machine.
    """

    load: Load
    cpu_us: float
    memory: Memory
    is_disturbed: bool


class Server:
    """A running server; a context manager that ends it with all its processes.

    Args:
        recipe: how to start it.
        folder: where it runs and where its log is written.

    Raises:
        ServerFailed: it does not become ready.
    """

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.recipe = recipe
        self.port = _free_port()
        self._log = folder / f"{recipe.name}.log"
        mark = uuid.uuid4().hex
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [part.replace("{port}", str(self.port)) for part in recipe.command]
        started_s = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment | dict(recipe.environment) | {MARK: mark},
                start_new_session=True,
            )
        self.tree = Tree(self._process.pid, mark)
        try:
            self._wait(started_s)
        except BaseException:
            self.close()
            raise
        self.start_s = time.perf_counter() - started_s

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def check(self) -> None:
        """Compare the answers to a few payloads with what they must be.

        Raises:
            ServerFailed: one of them is wrong.
        """
        for index in range(min(CHECKED, len(self.recipe.payloads.files))):
            status, body = self._post(index, timeout_s=30)
            try:
                wrong = self.recipe.payloads.verify(index, json.loads(body))
            except (ValueError, KeyError, TypeError, IndexError) as error:
                wrong = f"{type(error).__name__}: {error}"
            if status != http.client.OK or wrong:
                raise self._failed(f"body {index}: {status}, {wrong}: {body[:200]!r}")

    def idle_memory(self) -> Memory:
        """Return the memory of all processes once nothing has happened for a second."""
        time.sleep(_IDLE_S)
        return self.tree.memory()

    def measure(self, connections: int, seconds: float) -> Measured:
        """Load it; again, up to three times in all, while strangers disturb the measurement."""

        def run() -> tuple[Load, float]:
            watch = Watch(self.tree)
            load = self.send(connections, seconds)
            return load, watch.server_s(self.tree)

        (load, server_s), is_disturbed = undisturbed(run, self.tree)
        return Measured(
            load=load,
            cpu_us=server_s / max(load.requests, 1) * 1e6,
            memory=self.tree.memory(),
            is_disturbed=is_disturbed,
        )

    def send(self, connections: int, seconds: float) -> Load:
        """Load it without measuring."""
        return serve_load.send(
            self.port,
            self.recipe.path,
            self.recipe.payloads,
            connections=connections,
            seconds=seconds,
        )

    def close(self) -> None:
        """End all its processes."""
        self.tree.end()
        self._process.wait()

    def _wait(self, started_s: float) -> None:
        while time.perf_counter() - started_s < _START_S:
            if self._process.poll() is not None:
                raise self._failed(f"ended with {self._process.returncode}")
            try:
                if self._is_ready():
                    return
            except (OSError, http.client.HTTPException):
                pass  # not listening yet
            time.sleep(0.005)
        raise self._failed(f"not ready after {_START_S:g} s")

    def _is_ready(self) -> bool:
        if not self.recipe.health:
            return self._post(0, timeout_s=10)[0] == http.client.OK
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", self.recipe.health)
            return connection.getresponse().status == http.client.OK
        finally:
            connection.close()

    def _post(self, index: int, *, timeout_s: float) -> tuple[int, bytes]:
        payloads = self.recipe.payloads
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            headers = {"Content-Type": payloads.content_type}
            body = payloads.files[index].read_bytes()
            connection.request("POST", self.recipe.path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _failed(self, what: str) -> ServerFailed:
        log = self._log.read_text(encoding="utf-8", errors="replace")
        tail = "\n".join(log.splitlines()[-20:])
        return ServerFailed(f"{self.recipe.name}: {what}\n{tail}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
