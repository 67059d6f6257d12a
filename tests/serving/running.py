"""`calotype serve` as its users run it: a process of its own, spoken to over sockets."""

from __future__ import annotations

import http
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SOURCES = Path(__file__).parents[2] / "src"
START_S = 60.0  # a busy machine needs a few; what is slower hangs
STOP_S = 60.0
ANSWER_S = 60.0
UNTIL_S = 60.0
_MARK = "CALOTYPE_TEST_RUN"
# A test run that is killed leaves no service behind.
_ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as a caller sees it; header names in lower case."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


@dataclass(slots=True)
class Program:
    """One running `calotype serve`.

    Attributes:
        process: what was started.
        log: the file that its standard error goes to.
        facts: what it printed when it was ready; empty when nobody waited for that.
        mark: in the environment of all its processes.
    """

    process: subprocess.Popen[bytes]
    log: Path
    mark: str
    facts: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def port(self) -> int:
        """Where it listens."""
        port = urlsplit(self.facts["health_uri"]).port
        assert port is not None
        return port

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request over a connection of its own."""
        with closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        ) as connection:
            return ask_over(connection, method, path, body, headers)

    def score(self, value: object, **headers: str) -> Reply:
        """Send a value as JSON."""
        return self.ask(
            "POST", "/score", json.dumps(value), {"Content-Type": "application/json", **headers}
        )

    def connect(self) -> socket.socket:
        """Open a connection for bytes that no library would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_S)

    def log_text(self) -> str:
        """What it has logged so far; the last line may not be whole yet."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def log_lines(self) -> list[str]:
        """Return the lines of the log that are whole: a write may be seen half-way."""
        return [line for line in self.log_text().splitlines(keepends=True) if line.endswith("\n")]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of one kind in the log."""
        lines = [line for line in self.log_lines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event.get("event") == name]

    def processes(self) -> list[int]:
        """Return the pids of it and of all that it started, the orphans too."""
        wanted = f"{_MARK}={self.mark}".encode()
        found: list[int] = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue  # it has ended, or is somebody else's
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it as an operator does; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_S)


def ask_over(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send one request over an open connection."""
    connection.request(method, path, body, dict(headers or {}))
    answer = connection.getresponse()
    return Reply(
        answer.status,
        answer.reason,
        {name.lower(): value for name, value in answer.getheaders()},
        answer.read(),
    )


def until(condition: Callable[[], object], what: str, *, limit_s: float = UNTIL_S) -> None:
    """Wait for something that happens in another process."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, f"{what}: not within {limit_s} s"
        time.sleep(0.01)


def environment(mark: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a program that is found again by its mark."""
    paths = [str(SOURCES), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), _MARK: mark, **(more or {})}


def command(*arguments: object) -> list[str]:
    """Return the command line of `calotype` with JSON as its output."""
    return [sys.executable, "-m", "calotype", "-o", "json", *map(str, arguments)]


@contextmanager
def launched(
    folder: Path,
    arguments: Sequence[object],
    *,
    variables: Mapping[str, str] | None = None,
    directory: Path | None = None,
    prefix: Sequence[str] = (),
    descriptors: Sequence[int] = (),
) -> Generator[Program]:
    """Start `calotype serve`, and do not wait; whatever is left of it at the end is killed."""
    mark = uuid.uuid4().hex
    log = folder / f"log-{mark}.jsonl"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [*_ENDS_WITH_US, *prefix, *command("serve", *arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(mark, variables),
            cwd=directory or folder,
            pass_fds=descriptors,
        ) as process,
    ):
        program = Program(process, log, mark)
        try:
            yield program
        finally:
            for pid in program.processes():
                with suppress(ProcessLookupError):  # it was about to end
                    os.kill(pid, signal.SIGKILL)


@contextmanager
def serving(
    folder: Path,
    *arguments: object,
    variables: Mapping[str, str] | None = None,
    directory: Path | None = None,
    prefix: Sequence[str] = (),
    descriptors: Sequence[int] = (),
) -> Generator[Program]:
    """Run `calotype serve` on a free port; at the end it must stop cleanly and leave nothing.

    Args:
        folder: gets its log.
        arguments: of `serve`, beside the port.
        variables: of its environment, beside this process's.
        directory: where it runs; `folder` if None.
        prefix: a command that runs it, such as `setpriv` with its options.
        descriptors: further open files that it gets.
    """
    asked = ("--port", 0, *arguments)
    with launched(
        folder,
        asked,
        variables=variables,
        directory=directory,
        prefix=prefix,
        descriptors=descriptors,
    ) as program:
        program.facts = _first_document(program)
        yield program
        code = program.stop()
        assert code == 0, program.log_text()
        assert not program.processes()


def _first_document(program: Program) -> dict[str, Any]:
    """Return what the program prints when it is ready."""
    deadline_s = time.monotonic() + START_S
    text = b""
    assert program.process.stdout is not None
    descriptor = program.process.stdout.fileno()
    while time.monotonic() < deadline_s:
        if not select.select([descriptor], [], [], 0.1)[0]:
            continue
        part = os.read(descriptor, 65_536)
        text += part
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            assert part, f"it ended with {program.process.wait()}: {program.log_text()}"
    raise AssertionError(f"not ready within {START_S} s: {program.log_text()}")


def ended(folder: Path, *arguments: object) -> tuple[int, str, str]:
    """Run `calotype serve` that cannot start; return exit code, standard output and log."""
    with launched(folder, arguments) as program:
        output, _ = program.process.communicate(timeout=START_S)
        assert not program.processes()
        return program.process.returncode, output.decode(), program.log_text()


def check_error(reply: Reply, status: int) -> str:
    """Check that an answer is an error as the contract has it; return its message."""
    assert (reply.status, reply.reason) == (status, http.HTTPStatus(status).phrase)
    assert reply.headers["content-type"] == "application/json"
    document = reply.json
    assert set(document) == {"status_code", "message", "request_id"}
    assert document["status_code"] == status
    assert document["request_id"] == reply.headers["x-request-id"]
    message = document["message"]
    assert "Traceback" not in message
    assert str(SOURCES) not in message
    return message
