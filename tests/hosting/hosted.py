"""A workspace with services in real processes, for tests: made in a short folder, ended whole.

with hosting() as hosted:
    hosted.add("echo", ECHO)
    hosted.until_state("echo", "Healthy")
    hosted.score("echo", {"data": [1]})
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from calotype.hosting import control, keeping, locks
from calotype.hosting.layout import Layout
from calotype.hosting.management import ports
from calotype.hosting.management.ports import free_port
from calotype.hosting.observation import Observation
from calotype.serving.auth.keys import ServiceKeys
from calotype.workspace.credentials import Credentials
from calotype.workspace.machine import identity
from calotype.workspace.service_settings import AccessSettings, Inference, RuntimeSettings, Target
from calotype.workspace.services import Revision, Service, Version, now, user
from calotype.workspace.workspace import Workspace

ECHO = "def init():\n    pass\n\n\ndef run(data):\n    return {'revision': 1, 'data': data}\n"
MARK = "CALOTYPE_TEST_RUN"
WAIT_S = 60.0  # only what never comes takes as long, however busy the machine is


@dataclass(slots=True)
class Hosted:
    """One workspace and everything that runs for it.

    Attributes:
        folder: of the test: `.calotype` and the sources are below it.
        mark: in the environment of all its processes.
    """

    folder: Path
    workspace: Workspace
    mark: str

    @property
    def layout(self) -> Layout:
        """Where its processes keep things."""
        return Layout.of(self.workspace.place)

    # Records, as management would write them

    def source(self, script: str) -> str:
        """Store a script as a source folder; return the digest."""
        folder = self.folder / f"source-{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        (folder / "score.py").write_text(script)
        return self.workspace.artifacts.put(folder).digest

    def add(
        self,
        name: str,
        script: str = ECHO,
        *,
        target: Target = "local",
        models: Sequence[str] = (),
        access: dict[str, Any] | None = None,
        live_source: str = "",
        environment: dict[str, object] | None = None,
        **runtime: Any,
    ) -> Service:
        """Register a service and tell the keeper."""
        key = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        keys = ServiceKeys.generate()
        credentials = Credentials(keys.primary, keys.secondary, key.decode())
        # As management chooses: none that the system gives somebody while nobody listens there.
        port = None if target == "cluster" else free_port(self.workspace, "127.0.0.1")
        inference = Inference(
            entry_script="score.py" if script or live_source else "",
            source=self.source(script) if script and not live_source else "",
            live_source=live_source,
            environment=environment or {},
        )
        revision = Revision(1, tuple(models), inference, RuntimeSettings(**runtime))
        version = Version("default", 100, True, True, 1, None, "Transitioning", None, (revision,))
        service = Service(
            name=name,
            target=target,
            is_endpoint=False,
            access=AccessSettings.of({"port": port, **(access or {})}),
            credentials=credentials.sealed(self.workspace.key_file),
            desired="running",
            state="Transitioning",
            error=None,
            host=identity(self.workspace.place),
            description="",
            tags={},
            properties={},
            created_by=user(),
            created_at=now(),
            updated_at=now(),
            versions=(version,),
        )
        self.workspace.services.add(service)
        keeping.ensure(self.workspace)
        keeping.notify(self.workspace, name)
        return service

    def update(self, name: str, script: str | None = None, **runtime: Any) -> int:
        """Want a new revision; return its number."""
        version = self.workspace.services.get(name).version()
        last = version.revisions[-1]
        inference = last.inference
        if script is not None:
            inference = inference.model_copy(update={"source": self.source(script)})
        revision = Revision(
            last.number + 1,
            last.models,
            inference,
            RuntimeSettings(**{**last.runtime.model_dump(), **runtime}),
        )
        with self.workspace.services.editing(name) as edit:
            number = edit.put_revision(version.name, revision)
            edit.change_version(version.name, state="Transitioning")
        keeping.notify(self.workspace, name)
        return number

    def delete(self, name: str) -> None:
        """Forget a service."""
        self.workspace.services.delete(name)
        keeping.notify(self.workspace, name)

    def change(self, name: str, **values: Any) -> None:
        """Change a service's record, and wait until all replicas have its keys and rules."""
        self.workspace.services.change(name, **values)
        until(lambda: keeping.notify(self.workspace, name) == [], "all have what has changed")

    def credentials(self, name: str) -> Credentials:
        """Return what opens a service."""
        record = self.workspace.services.get(name)
        return Credentials.opened(record.credentials, self.workspace.key_file)

    # What it does

    def observe(self, name: str) -> Observation:
        """Return how a service is."""
        return keeping.observe(self.workspace, name)

    def until_state(self, name: str, state: str, *, limit_s: float = WAIT_S) -> Observation:
        """Wait for a state."""
        return self.until(
            name, lambda seen: seen.state == state, f"'{name}' {state}", limit_s=limit_s
        )

    def until(
        self,
        name: str,
        condition: Callable[[Observation], object],
        what: str,
        *,
        limit_s: float = WAIT_S,
    ) -> Observation:
        """Wait until a service is as it should be."""
        deadline_s = time.monotonic() + limit_s
        while not condition(seen := self.observe(name)):
            assert time.monotonic() < deadline_s, f"{what}: {seen}\n{self.logs()}"
            time.sleep(0.02)
        return seen

    def port(self, name: str) -> int:
        """Return the port of a service's own."""
        port = self.workspace.services.get(name).access.port
        assert port
        return port

    def connect(self, name: str) -> http.client.HTTPConnection:
        """Return a connection to a service's own port."""
        return http.client.HTTPConnection("127.0.0.1", self.port(name), timeout=30)

    def score(self, name: str, value: object = None, **headers: str) -> tuple[int, Any]:
        """Send a value to a service's own port; return status and answer."""
        with contextlib.closing(self.connect(name)) as connection:
            return ask(connection, value, **headers)

    def answers(self, name: str) -> bool:
        """Whether a request to a service's address is answered with success."""
        try:
            uri = urlsplit(self.observe(name).scoring_uri)
            link = http.client.HTTPConnection(uri.hostname or "", uri.port, timeout=30)
            with contextlib.closing(link) as connection:
                return ask(connection, path=uri.path)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def logs(self) -> str:
        """Return all logs, for the message of a test that fails."""
        run = self.workspace.place.run_folder
        paths = [*run.glob("*.log"), *run.glob("services/*/logs/*.log")]
        return "\n".join(f"== {path.name}\n{path.read_text()[-6000:]}" for path in paths)

    # Processes

    def processes(self) -> dict[int, str]:
        """Return the command lines of all living processes of this workspace, by pid."""
        wanted = f"{MARK}={self.mark}".encode()
        found: dict[int, str] = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):  # it has ended, or is somebody else's
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(folder.name)] = line
        return found

    def pids(self, module: str) -> list[int]:
        """Return the pids of those that run a module of ours, such as `hosting.keeper`."""
        return [pid for pid, line in self.processes().items() if f"calotype.{module}" in line]

    def keeper(self) -> int | None:
        """Return the pid of the keeper that takes commands; None when there is none."""
        with contextlib.suppress(control.NobodyThere):
            return int(control.ask(self.layout.keeper_socket, "ping", timeout_s=WAIT_S)["pid"])
        return None

    def until_kept(self, but_by: int | None = None) -> int:
        """Wait for a keeper, or another one; return its pid."""
        until(lambda: self.keeper() not in (None, but_by), "another keeper")
        pid = self.keeper()
        assert pid is not None
        return pid

    def freeze_keeper(self) -> int:
        """Let the keeper stand still, while it writes nothing: nobody could; return its pid."""
        pid = self.until_kept()
        with self.workspace.database.writing():
            os.kill(pid, signal.SIGSTOP)
        return pid

    def until_awaited(self) -> int:
        """Wait until a second keeper waits for the first one's place; return its pid."""
        lock = self.layout.standby_lock
        until(lambda: locks.is_held(lock) and locks.facts(lock).get("pid"), "a second keeper")
        return int(locks.facts(lock)["pid"])

    def kill_standbys(self) -> None:
        """End all that wait for the keeper's place, which stands still, so that none follows."""

        def are_gone() -> bool:
            found = self.pids("hosting.standby")
            for pid in found:
                kill(pid)
            return not found and not locks.is_held(self.layout.standby_lock)

        until(are_gone, "nobody waits")

    def kill_all(self) -> None:
        """End everything at once, as a power failure would."""
        deadline_s = time.monotonic() + WAIT_S
        while living := self.processes():
            assert time.monotonic() < deadline_s, living
            for pid in living:
                kill(pid)
            time.sleep(0.02)

    def until_gone(self, *, limit_s: float = WAIT_S) -> None:
        """Wait until no process is left."""
        deadline_s = time.monotonic() + limit_s
        while living := self.processes():
            assert time.monotonic() < deadline_s, f"{living}\n{self.logs()}"
            time.sleep(0.05)


def kill(pid: int) -> bool:
    """End a process at once; return whether it still lived."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def until(condition: Callable[[], object], what: str, *, limit_s: float = WAIT_S) -> None:
    """Wait for something that happens in another process."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, f"{what}: not within {limit_s} s"
        time.sleep(0.02)


def ask(
    connection: http.client.HTTPConnection,
    value: object = None,
    *,
    path: str = "/score",
    **headers: str,
) -> tuple[int, Any]:
    """Score a value over an open connection; return status and answer."""
    body = json.dumps({"data": value})
    connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


@contextlib.contextmanager
def hosting(*, database: str = "", joins: Hosted | None = None) -> Generator[Hosted]:
    """Make a workspace in a short folder; at the end nothing of it is left.

    Args:
        database: where other machines may use it too.
        joins: the workspace of another machine, to be used in place of one of its own.
    """
    first, last = _ports_of_ours()
    with mock.patch.multiple(ports, _FIRST=first, _LAST=last):
        yield from _hosting(database, joins)


def _hosting(database: str, joins: Hosted | None) -> Generator[Hosted]:
    mark = uuid.uuid4().hex
    folder = Path(tempfile.mkdtemp(prefix="ct-"))
    before = os.environ.get(MARK)
    os.environ[MARK] = mark
    if joins is not None:
        workspace = Workspace.join(joins.workspace.place.database, folder)
        shutil.copy2(joins.workspace.place.key_file, workspace.place.key_file)
    else:
        artifacts = (folder / "artifacts").as_uri() if database else ""
        workspace = Workspace.create("hosted", folder, database=database, artifacts=artifacts)
        # The first choice of all others is one port.
        port = free_port(workspace, "127.0.0.1")
        workspace.set_fact("front_door", {"host": "127.0.0.1", "port": port})
    hosted = Hosted(folder, workspace, mark)
    sockets = hosted.layout.sockets
    try:
        yield hosted
    finally:
        hosted.kill_all()
        workspace.close()
        if before is None:
            del os.environ[MARK]
        else:
            os.environ[MARK] = before
        shutil.rmtree(folder)
        shutil.rmtree(sockets, ignore_errors=True)


def _ports_of_ours() -> tuple[int, int]:
    """Return where this test worker looks for free ports, and no other one.

    Ports are chosen before somebody listens there, so that two workers could choose the same one.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 20_000 + 1_000 * (worker % 12)
    return first, first + 1_000


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections at a port of this machine."""
    with contextlib.closing(socket.socket()) as link:
        link.settimeout(1)
        return link.connect_ex(("127.0.0.1", port)) == 0
