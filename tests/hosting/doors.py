"""Starts a front door of a workspace of its own, and replicas behind it."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replicas import HERE, environment, process

from calotype.hosting import control, locks
from calotype.hosting.layout import Layout
from calotype.hosting.routes import Routes, ServiceRoute, VersionRoute
from calotype.workspace.service_settings import AccessSettings, Inference, RuntimeSettings
from calotype.workspace.services import Revision, Service, Version, machine, now
from calotype.workspace.workspace import Workspace

WAIT_S = 60.0  # only what never comes takes as long, however busy the machine is
_IMPATIENT = "from calotype.hosting import front_door as f; f._ALONE_S = {}; f.main()"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as a caller sees it; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that happens in another process."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"{what}: not within {WAIT_S} s"
        time.sleep(0.01)


@dataclass
class Door:
    """A front door in a process of its own, with what the keeper would do.

    Attributes:
        keeper: the keeper's lock: without it the door would end after a minute.
        services: what it passes on; `tell` makes it known.
    """

    folder: Path
    workspace: Workspace
    layout: Layout
    stack: ExitStack
    keeper: locks.Held
    services: dict[str, ServiceRoute] = field(default_factory=dict[str, ServiceRoute])
    tls: tuple[str, str] = ("", "")
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def write(self) -> None:
        """Write the routes."""
        certificate, key = self.tls
        Routes(
            "127.0.0.1",
            self.port,
            tls_certificate=certificate,
            tls_key=key,
            services=self.services,
        ).write(self.layout.routes)

    def tell(self) -> None:
        """Make the routes known, and wait until all replicas are reached."""
        self.write()
        until(lambda: self._told() == {}, "all replicas are reached")

    def tell_once(self) -> dict[str, str]:
        """Make the routes known; return the replicas that are not reached yet, and why."""
        self.write()
        return self._told()

    def _told(self) -> dict[str, str]:
        place = self.layout.front_door_socket
        return control.ask(place, "routes", timeout_s=WAIT_S)["waiting_for"]

    def start(self, *, descriptor: int | None = None, alone_s: float | None = None) -> None:
        """Start the process, as the keeper does.

        Args:
            descriptor: of the listening socket that it gets.
            alone_s: how long it bears having no keeper, instead of a minute.
        """
        more = [] if descriptor is None else ["--listener", str(descriptor)]
        root = str(self.workspace.place.root)
        module = ["-m", "calotype.hosting.front_door"]
        if alone_s is not None:
            module = ["-c", _IMPATIENT.format(alone_s)]
        with self.layout.front_door_log.open("ab") as log:
            self.process = self.stack.enter_context(
                subprocess.Popen(
                    [sys.executable, *module, root, *more],
                    env=environment(),
                    stderr=log,
                    pass_fds=() if descriptor is None else (descriptor,),
                )
            )
        self.stack.callback(self.process.kill)
        until(lambda: self._is_ready(self.process), "the front door")
        self.port = locks.facts(self.layout.front_door_lock)["port"]
        until(lambda: self._told() == {}, "all replicas are reached")

    def _is_ready(self, process: subprocess.Popen[bytes] | None) -> bool:
        assert process is not None
        assert process.poll() is None, self.log()
        facts = locks.facts(self.layout.front_door_lock)
        is_said = facts.get("pid") == process.pid and facts.get("state") == "ready"
        return is_said and self.layout.front_door_socket.exists()

    def log(self) -> str:
        """Return what it has logged."""
        return self.layout.front_door_log.read_text()

    def counts(self, service: str, version: str = "default") -> dict[str, Any]:
        """Return what it has counted."""
        answer = control.ask(self.layout.front_door_socket, "counts", timeout_s=WAIT_S)
        return answer["services"][service][version]

    def wire(self, replica: str) -> str:
        """Return the socket of a replica."""
        return str(self.layout.replica_wire(replica))

    def small_replica(self, replica: str) -> subprocess.Popen[str]:
        """Start a replica with a few lines of an app."""
        path = self.wire(replica)
        return self.stack.enter_context(process(HERE / "small_replica.py", path))

    def script_replica(
        self, replica: str, script: str, settings: Mapping[str, Any], **more: Any
    ) -> subprocess.Popen[str]:
        """Start a replica with an entry script."""
        file = self.folder / f"{replica}.py"
        file.write_text(script)
        name = settings["name"]
        said = {
            "socket": self.wire(replica),
            "script": str(file),
            "settings": {"path_prefix": f"/api/v1/service/{name}", **settings},
            **more,
        }
        started = process(HERE / "app_replica.py", json.dumps(said))
        return self.stack.enter_context(started)

    def route(self, *replicas: str, **values: Any) -> VersionRoute:
        """Return the route to replicas."""
        return VersionRoute({name: self.wire(name) for name in replicas}, **values)

    def connection(self, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        """Return a connection for several requests."""
        if context is not None:
            return http.client.HTTPSConnection(
                "localhost", self.port, timeout=WAIT_S, context=context
            )
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        context: ssl.SSLContext | None = None,
    ) -> Reply:
        """Send one request over a connection of its own."""
        with closing(self.connection(context)) as connection:
            return ask_over(connection, method, path, body, headers)

    def connect(self) -> socket.socket:
        """Open a connection for bytes that no library would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)


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
    named = {name.lower(): value for name, value in answer.getheaders()}
    return Reply(answer.status, named, answer.read())


@contextmanager
def door() -> Generator[Door]:
    """Give a door that is not started, in a folder with a short name; it ends at the end."""
    with tempfile.TemporaryDirectory(prefix="door-") as name, ExitStack() as stack:
        workspace = Workspace.create("doors", Path(name))
        stack.callback(workspace.close)
        layout = Layout.of(workspace.place)
        stack.callback(shutil.rmtree, layout.sockets, ignore_errors=True)
        keeper = locks.Held.take(layout.keeper_lock)
        assert keeper is not None
        yield Door(Path(name), workspace, layout, stack, keeper)


def record(name: str, access: AccessSettings, credentials: bytes) -> Service:
    """Return the record of a service, for the workspace's database."""
    revision = Revision(1, (), Inference(), RuntimeSettings())
    version = Version("default", 100, True, True, 1, 1, "Healthy", None, (revision,))
    return Service(
        name=name,
        target="cluster",
        is_endpoint=False,
        access=access,
        credentials=credentials,
        desired="running",
        state="Healthy",
        error=None,
        host=machine(),
        description="",
        tags={},
        properties={},
        created_by="tests",
        created_at=now(),
        updated_at=now(),
        versions=(version,),
    )


def check_error(reply: Reply, status: int) -> str:
    """Check that an answer is an error as the contract has it; return its message."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/json"
    document = reply.json
    assert set(document) == {"status_code", "message", "request_id"}
    assert document["status_code"] == status
    assert document["request_id"] == reply.headers["x-request-id"]
    return document["message"]
