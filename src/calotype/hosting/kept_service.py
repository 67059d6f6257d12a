"""One service as the keeper runs it: its address, its versions, and what its record tells."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import shutil
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from calotype import errors
from calotype.hosting import locks, processes
from calotype.hosting.kept_replica import KeptReplica, fault, found_replicas
from calotype.hosting.kept_version import KeptVersion
from calotype.hosting.layout import Layout
from calotype.hosting.observation import Observation, ReplicaObservation, VersionObservation
from calotype.hosting.other_tokens import OtherTokens
from calotype.hosting.plan_making import front_of, shape_of
from calotype.hosting.uris import uris_of
from calotype.serving.server import listen
from calotype.workspace.credentials import Credentials
from calotype.workspace.machine import is_here

if TYPE_CHECKING:
    from calotype.hosting.capacity import Place
    from calotype.hosting.kept_door import KeptDoor
    from calotype.workspace.services import Fault, Service, State, Version
    from calotype.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

_REST_S: Final = 1.0
_KEPT_LOGS: Final = 20
_BIND_AGAIN_S: Final = 2.0
_ADOPT_EVERY_S: Final = 5.0
_STOPPED: Final = "It was stopped. `calotype up` starts it again."


class KeptService:
    """One service.

    Args:
        workspace: whose.
        layout: places of the workspace.
        name: of the service.
        record: what there should be; None: nothing, but processes of it may live.
        door: the front door.
        places: what the machine has for its versions.

    Attributes:
        record: None once it was deleted.
        places: what the machine has for its versions, by name.
        is_wanted: false when the whole workspace is to stop.
        is_over: whether nothing is left of it.
        forgives: whether what failed under another keeper is tried anew.
        trouble: why it has no address; empty when it has one.
        other_token_keys: of services whose tokens are refused with 403; empty for none.
    """

    def __init__(
        self,
        workspace: Workspace,
        layout: Layout,
        name: str,
        record: Service | None,
        door: KeptDoor,
        places: Mapping[str, Place] | None = None,
    ) -> None:
        self.workspace, self.layout = workspace, layout
        self.name, self.target = name, record.target if record is not None else "local"
        self.record = record
        self.places = dict(places or {})
        self._made_at = record.created_at if record is not None else None
        self.is_wanted = True
        self.is_over = False
        self.forgives = False
        self.trouble = ""
        self.versions: dict[str, KeptVersion] = {}
        self.other_token_keys = ""
        self._other_tokens = OtherTokens(workspace, self.name)
        self._door = door
        self._listener: socket.socket | None = None
        self._old_listeners: list[socket.socket] = []
        self._bind_again_s = 0.0
        self._access = ""
        self._adopted_s = 0.0
        self._cleaned: object = None
        self._bell = asyncio.Event()
        self._reconciled = asyncio.Condition()
        self._rounds = 0
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def is_reachable(self) -> bool:
        """Whether what stands before its replicas is there."""
        return self.has_port or self._door.is_ready

    async def publish(self) -> set[str]:
        """Tell the front door which replicas callers should reach.

        Returns:
            Those that it does not reach yet, as `KeptDoor.publish` has them.
        """
        return await self._door.publish()

    # Driving

    def wake(self) -> None:
        """Look at it now: something has changed."""
        self._bell.set()

    async def settle(self) -> None:
        """Wake it, and wait until what its record says now has been looked at."""
        wanted = self._rounds + 2  # one may be under way that began before
        while self._rounds < wanted and not self.is_over:
            self.wake()
            async with self._reconciled:
                await self._reconciled.wait()

    async def _run(self) -> None:
        while not self.is_over:
            self._bell.clear()
            try:
                await self._reconcile()
            except Exception:  # of one look: without its task the service would have no keeper
                logger.exception("service %s", self.name)
                await asyncio.sleep(_REST_S)
            async with self._reconciled:
                self._rounds += 1
                self._reconciled.notify_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._rest_s()):
                    await self._bell.wait()

    def _rest_s(self) -> float:
        due_s = [one.next_try_s - time.monotonic() for one in self.versions.values()]
        pulses_s = [one.pulse_s for one in self.versions.values()]
        return min([*(pulses_s or [_REST_S]), *(one for one in due_s if one > 0)])

    async def _reconcile(self) -> None:
        record = self.record
        self._adopt()
        if record is None or record.desired == "stopped" or not self.is_wanted:
            await self._wind_up(record)
            return
        if not self._is_hopeless():
            self._listen(record)
        for version in record.versions:
            kept = self.versions.setdefault(version.name, KeptVersion(self, version.name))
            await kept.reconcile(version)
        if gone := self.versions.keys() - {version.name for version in record.versions}:
            await self.publish()  # they get no requests any more
            for name in gone:
                self._drop(name)
        self.forgives = False
        if self._is_hopeless():
            self._stop_listening()  # callers would wait for ever
        await self._push_access()
        await self._tell(record)
        await self._clean(record)
        await self.publish()

    def _is_hopeless(self) -> bool:
        return bool(self.versions) and all(one.is_hopeless for one in self.versions.values())

    def _drop(self, name: str) -> None:
        """End a version that was deleted."""
        kept = self.versions[name]
        kept.retire_all()
        kept.replicas = [one for one in kept.replicas if one.phase != "ended"]
        if not kept.replicas:
            kept.close()
            del self.versions[name]

    async def _wind_up(self, record: Service | None) -> None:
        """End all replicas; forget the service when its record has gone."""
        self._stop_listening()
        await self.publish()
        for name in list(self.versions):
            self._drop(name)
        if record is not None:
            await self._write("Unhealthy", fault(_STOPPED))
        elif not self.versions:
            if await asyncio.to_thread(self._is_held):  # by one that had said nothing yet
                self._adopted_s = 0.0
                return
            await asyncio.to_thread(self._forget_files)
            self.is_over = True
            self._door.tell_change()

    def _is_held(self) -> bool:
        folder = self.layout.replica_lock(self.name, "x").parent
        return any(map(locks.is_held, folder.glob("*.lock")))

    def _forget_files(self) -> None:
        """Remove its files, unless they are of a service that there is."""
        if not self.workspace.place.is_made:
            return  # the folder has gone, and nobody knows what the records say
        try:
            record = self.workspace.services.get(self.name)
        except errors.NotFound:
            record = None
        if record is not None:
            is_elsewhere = not is_here(self.workspace.place, record.host)
            if is_elsewhere or record.created_at == self._made_at:
                return
        shutil.rmtree(self.layout.service(self.name), ignore_errors=True)

    @property
    def is_idle(self) -> bool:
        """Whether none of its processes lives."""
        return self.is_over or not any(one.replicas for one in self.versions.values())

    def _adopt(self) -> None:
        """Take in replicas that another keeper started."""
        now_s = time.monotonic()
        if self._adopted_s and now_s - self._adopted_s < _ADOPT_EVERY_S:
            return
        self._adopted_s = now_s
        known = {one.name for kept in self.versions.values() for one in kept.replicas}
        for name, facts in found_replicas(self.layout, self.name).items():
            if name not in known:
                logger.info("adopting replica %s", name)
                version = str(facts["version"])
                kept = self.versions.setdefault(version, KeptVersion(self, version))
                kept.adopt(name, facts)
                self._access = ""  # nobody knows which keys it has

    # Its address

    @property
    def has_port(self) -> bool:
        """Whether callers reach it at a port of its own."""
        return self.target in ("local", "instance")

    @property
    def listener(self) -> tuple[int, int]:
        """Port and descriptor of its listening socket; 0 and -1 for none."""
        if self._listener is None:
            return 0, -1
        return self._listener.getsockname()[1], self._listener.fileno()

    @property
    def shape(self) -> str:
        """What replicas cannot change while they run."""
        return shape_of(self.record, self.listener[0]) if self.record is not None else ""

    def _listen(self, record: Service) -> None:
        if not self.has_port or time.monotonic() < self._bind_again_s:
            return
        wanted = record.access.port or 0
        if self._listener is not None:
            host, port = self._listener.getsockname()[:2]
            if wanted in (0, port) and _is_same(host, record.access.host):
                self._keep_port(record, port)
                return
            self._old_listeners.append(self._listener)  # its callers are served until the switch
            self._listener = None
        try:
            self._listener = self._adopted_listener(wanted) or listen(record.access.host, wanted)
        except errors.CannotListen as error:
            self.trouble = (
                f"It cannot listen at {error.where}: {error.got}. Choose another port, with "
                f"`calotype service update -n {self.name} --port N`, or free this one."
            )
            self._bind_again_s = time.monotonic() + _BIND_AGAIN_S
            if self._old_listeners:
                self._listener = self._old_listeners.pop()
            return
        self.trouble = ""
        self._keep_port(record, self._listener.getsockname()[1])

    def _adopted_listener(self, port: int) -> socket.socket | None:
        for kept in self.versions.values():
            for one in kept.replicas:
                if one.phase == "ready" and port in (0, one.port) and (found := one.listener()):
                    return found
        return None

    def _keep_port(self, record: Service, port: int) -> None:
        """Write down a port that was chosen, so that the address stays."""
        if record.access.port != port:
            with self.workspace.services.editing(self.name) as edit:
                access = edit.service.access.model_copy(update={"port": port})
                edit.change(access=access)
            self.record = dataclasses.replace(record, access=access)

    def _stop_listening(self) -> None:
        for one in (self._listener, *self._old_listeners):
            if one is not None:
                one.close()
        self._listener, self._old_listeners = None, []

    # Its keys

    def credentials(self) -> Credentials:
        """Return what opens it."""
        assert self.record is not None
        return Credentials.opened(self.record.credentials, self.workspace.key_file)

    async def _push_access(self) -> None:
        """Give its replicas the keys and rules of the record, if they have others."""
        record = self.record
        assert record is not None
        if record.access.auth == "token":
            self.other_token_keys = await asyncio.to_thread(self._other_tokens.read)
        said = record.access.model_dump_json(include={"auth", "cors_origins"})
        said += self.other_token_keys
        digest = hashlib.sha256(said.encode() + record.credentials).hexdigest()
        if digest == self._access:
            return
        credentials = self.credentials()
        port = self.listener[0]
        for version in record.versions:
            front = front_of(
                record,
                version.wanted,
                credentials,
                port=port,
                other_token_keys=self.other_token_keys,
            )
            for one in self.versions[version.name].replicas:
                if one.is_live:
                    await one.change_access(front)
        if not any(one.phase == "starting" for one in self._replicas()):
            self._access = digest

    def _replicas(self) -> list[KeptReplica]:
        return [one for kept in self.versions.values() for one in kept.replicas]

    # What its record says

    async def _tell(self, record: Service) -> None:
        states: list[tuple[State, Fault | None]] = []
        for version in record.versions:
            state, error = self.versions[version.name].state(version)
            states.append((state, error))
            if (state, error) != (version.state, version.error):
                await self.write_version(version.name, state=state, error=error)
        await self._write(*_worst(states))

    async def write_version(self, name: str, **values: Any) -> None:
        """Change a version's record."""
        records = self.workspace.services
        await asyncio.to_thread(records.change_version, self.name, name, **values)
        if self.record is not None:
            versions = [
                dataclasses.replace(one, **values) if one.name == name else one
                for one in self.record.versions
            ]
            self.record = dataclasses.replace(self.record, versions=tuple(versions))

    async def _write(self, state: State, error: Fault | None) -> None:
        record = self.record
        if record is None:
            return
        known = record.error
        if error is not None and known is not None and error["message"] == known["message"]:
            error = known  # told already, at its own time
        if (state, error) == (record.state, record.error):
            return
        logger.info("service %s: %s", self.name, state)
        with contextlib.suppress(errors.NotFound):  # it is being deleted
            await asyncio.to_thread(
                self.workspace.services.change, self.name, state=state, error=error
            )
        if self.record is not None:
            self.record = dataclasses.replace(self.record, state=state, error=error)

    async def _clean(self, record: Service) -> None:
        """Remove the files of revisions that nothing runs any more."""
        if self._cleaned == (states := [(one.key, one.phase) for one in self._replicas()]):
            return
        self._cleaned = states
        await asyncio.to_thread(self._forget_old_logs)
        folder = self.layout.revision(self.name, "x", 0).parent
        used = {
            self.layout.revision(self.name, version.name, number).name
            for version in record.versions
            for number in self.versions[version.name].revisions_in_use(version)
        }
        with contextlib.suppress(FileNotFoundError):
            for path in folder.iterdir():
                if path.name not in used and not path.name.startswith("."):
                    await asyncio.to_thread(shutil.rmtree, path, True)
        if not any(one.key[1] != self.shape for one in self._replicas()):
            for one in self._old_listeners:
                one.close()
            self._old_listeners = []

    def _forget_old_logs(self) -> None:
        """Remove the logs of replicas that ended long ago: one that crashes makes many."""
        living = {Path(one.log).name for one in self._replicas()}
        with contextlib.suppress(FileNotFoundError):
            logs = sorted(
                (path for path in self.layout.logs(self.name).glob("*.log")),
                key=lambda path: path.stat().st_mtime,
                reverse=True,
            )
            for path in logs[_KEPT_LOGS:]:
                if path.name not in living:
                    for part in path.parent.glob(f"{path.name}*"):
                        part.unlink(missing_ok=True)

    # What it tells

    def observation(self) -> Observation | None:
        """Return how it is; None when it was deleted."""
        record = self.record
        if record is None:
            return None
        versions = {one.name: self._observed(one) for one in record.versions}
        uris = uris_of(record, self.listener[0] or record.access.port or 0, self._door.uris)
        return Observation(
            record.state, record.error, uris.scoring, uris.swagger, versions,
            tuple(_seen(one) for one in self._replicas() if one.phase != "ended"),
        )  # fmt: skip

    def _observed(self, version: Version) -> VersionObservation:
        kept = self.versions.get(version.name)
        ready = [one for one in kept.replicas if kept.is_ready(one)] if kept is not None else []
        return VersionObservation(
            version.state, version.error, version.wanted_revision, version.serving_revision,
            len(ready),
        )  # fmt: skip

    async def reload(self) -> None:
        """Let all replicas run their script anew.

        Raises:
            ScriptFailed: it cannot be used; the old one goes on.
        """
        for one in self._replicas():
            if one.phase == "ready":
                await one.reload()

    def forgive(self) -> None:
        """Try anew what failed."""
        self.forgives = True
        for kept in self.versions.values():
            kept.forgive()
        self.wake()

    async def close(self) -> None:
        """Look after it no more; its replicas go on."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self._task
        for kept in self.versions.values():
            kept.close()
        self._stop_listening()


def _worst(states: list[tuple[State, Fault | None]]) -> tuple[State, Fault | None]:
    """Return the state of a service of whose versions these are."""
    order: tuple[State, ...] = ("Transitioning", "Unschedulable", "Unhealthy", "Failed", "Healthy")
    for state in order:
        for found, error in states:
            if found == state:
                return found, error
    return "Unhealthy", fault("It has no version.")


def _seen(one: KeptReplica) -> ReplicaObservation:
    state: str = one.phase
    if state == "ready" and not one.is_serving:
        state = "busy" if one.is_answering else "silent"
    return ReplicaObservation(
        one.name, one.version, one.key[0], one.pid, state,
        processes.memory_of_tree(one.pid) if one.pid else 0, one.port, one.in_flight,
    )  # fmt: skip


def _is_same(bound: str, asked: str) -> bool:
    if bound == asked:
        return True
    with contextlib.suppress(OSError):
        found = socket.getaddrinfo(asked, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return any(one[4][0] == bound for one in found)
    return False
