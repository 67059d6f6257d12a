"""One service as the keeper runs it: its address, its versions, and what its record tells."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype.hosting.kept_access import KeptAccess
from calotype.hosting.kept_address import KeptAddress
from calotype.hosting.kept_door import EVERYTHING
from calotype.hosting.kept_record import KeptRecord
from calotype.hosting.kept_replica import KeptReplica, found_replicas
from calotype.hosting.kept_version import KeptVersion
from calotype.hosting.layout import Layout
from calotype.hosting.observation import STOPPED, fault, with_requests
from calotype.hosting.plan_making import shape_of
from calotype.hosting.rounds import Rounds
from calotype.hosting.service_files import ServiceFiles
from calotype.workspace.credentials import Credentials

if TYPE_CHECKING:
    from calotype.hosting.capacity import Place
    from calotype.hosting.kept_door import KeptDoor
    from calotype.hosting.kept_record import Told
    from calotype.workspace.services import Service, State
    from calotype.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

_REST_S: Final = 1.0
_ADOPT_EVERY_S: Final = 5.0


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
        record: what there should be, and what is told about it.
        places: what the machine has for its versions, by name.
        address: the port of its own, if it has one.
        access: its keys and rules.
        rounds: when it is looked at.
        is_wanted: false when the whole workspace is to stop.
        is_over: whether nothing is left of it.
        forgives: whether what failed under another keeper is tried anew.
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
        self.record = KeptRecord(workspace.services, name, record)
        self.places = dict(places or {})
        self.is_wanted = True
        self.is_over = False
        self.forgives = False
        self.versions: dict[str, KeptVersion] = {}
        self.address = KeptAddress(name, self.target)
        self.access = KeptAccess(self)
        made_at = record.created_at if record is not None else None
        self._files = ServiceFiles(workspace, layout, name, made_at)
        self._door = door
        self._unreached: set[str] = set()
        self._adopted_s = 0.0
        self._cleaned: object = None
        self.rounds = Rounds(
            f"service {name}", self._reconcile, rest_s=self._rest_s, is_over=lambda: self.is_over
        )

    @property
    def is_reachable(self) -> bool:
        """Whether what stands before its replicas is there."""
        return self.address.has_port or self._door.is_ready

    @property
    def barrier(self) -> str:
        """Why what stands before its replicas cannot be there; empty when it can."""
        if self.is_reachable or self._door.error is None:
            return ""
        return f"The front door does not listen. {self._door.error}"

    async def publish(self) -> set[str]:
        """Tell the front door which replicas callers should reach.

        Returns:
            Those that it does not reach yet, as `KeptDoor.publish` has them.
        """
        unreached = await self._door.publish()
        if self._door.is_known:  # else it goes on as it did under another keeper
            self._unreached = unreached
        return unreached

    def reaches(self, one: KeptReplica) -> bool:
        """Whether callers can come as far as a replica, by what was published last."""
        return self.address.has_port or self._unreached.isdisjoint({one.name, *EVERYTHING})

    def _rest_s(self) -> float:
        due_s = [one.next_try_s - time.monotonic() for one in self.versions.values()]
        pulses_s = [one.pulse_s for one in self.versions.values()]
        return min([*(pulses_s or [_REST_S]), *(one for one in due_s if one > 0)])

    async def _reconcile(self) -> None:
        # Together: either may be another one after the next await.
        record, places = self.record.now, self.places
        self._adopt()
        if record is None or record.desired == "stopped" or not self.is_wanted:
            await self._wind_up(record)
            if record is not None:
                await self.access.push(record)  # those that leave still answer callers
            return
        await self.access.push(record)
        if not self._is_hopeless():
            self.address.listen(record.access, self._adopted_listener)
            if self.address.port and not self.address.trouble:
                await self.record.keep_port(self.address.port)
        for version in record.versions:
            kept = self.versions.setdefault(version.name, KeptVersion(self, version.name))
            await kept.reconcile(version, places[version.name])
        if gone := self.versions.keys() - {version.name for version in record.versions}:
            await self.publish()  # they get no requests any more
            for name in gone:
                self._drop(name)
        self.forgives = False
        if self._is_hopeless():
            self.address.stop()
        if self.address.has_port:  # a front door that is slow tells nothing about it
            await self._tell(record)
            await self.publish()
        else:  # who is told that it is Healthy calls it at once
            await self.publish()
            await self._tell(record)
        await self._clean(record)

    def _is_hopeless(self) -> bool:
        return bool(self.versions) and all(one.is_hopeless for one in self.versions.values())

    def _drop(self, name: str) -> None:
        """End a version that was deleted."""
        kept = self.versions[name]
        kept.retire_all()
        kept.replicas = [one for one in kept.replicas if one.phase != "ended"]
        if not kept.replicas and not kept.is_unpacking:
            kept.close()
            del self.versions[name]

    async def _wind_up(self, record: Service | None) -> None:
        """End all replicas; forget the service when its record has gone."""
        self.address.stop()
        await self.publish()
        for name in list(self.versions):
            self._drop(name)
        if record is not None:
            await self.record.tell(("Unhealthy", fault(STOPPED)), {})
        elif not self.versions:
            if await asyncio.to_thread(self._files.is_held):  # by one that had said nothing yet
                self._adopted_s = 0.0
                return
            await asyncio.to_thread(self._files.forget)
            self.is_over = True
            self._door.tell_change()

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

    # Its address and its keys

    @property
    def shape(self) -> str:
        """What replicas cannot change while they run."""
        record = self.record.now
        return shape_of(record, self.address.port) if record is not None else ""

    def _adopted_listener(self, port: int) -> socket.socket | None:
        for kept in self.versions.values():
            for one in kept.replicas:
                if one.phase == "ready" and port in (0, one.port) and (found := one.listener()):
                    return found
        return None

    def credentials(self) -> Credentials:
        """Return what opens it."""
        record = self.record.now
        assert record is not None
        return Credentials.opened(record.credentials, self.workspace.key_file)

    @property
    def replicas(self) -> list[KeptReplica]:
        """All that live, of whatever version."""
        return [one for kept in self.versions.values() for one in kept.replicas]

    # What its record says

    async def _tell(self, record: Service) -> None:
        told = {one.name: self.versions[one.name].state(one) for one in record.versions}
        asked = [told[one.name] for one in with_requests(record.versions)]
        await self.record.tell(worst(asked), told)

    async def _clean(self, record: Service) -> None:
        """Remove the files of revisions that nothing runs any more."""
        needed = {
            (version.name, number)
            for version in record.versions
            for number in self.versions[version.name].revisions_in_use(version)
        }
        # A version that is made again begins with the same number, and runs what lies there.
        phases = [(one.key, one.phase) for one in self.replicas]
        if self._cleaned == (seen := (needed, list(self.versions), phases)):
            return
        self._cleaned = seen
        living = {Path(one.log).name for one in self.replicas}
        await asyncio.to_thread(self._files.forget_logs, but=living)
        await asyncio.to_thread(self._files.forget_revisions, but=needed)
        if not any(one.key[1] != self.shape for one in self.replicas):
            self.address.leave_old()

    async def reload(self) -> None:
        """Let all replicas run their script anew.

        Raises:
            ScriptFailed: it cannot be used; the old one goes on.
        """
        for one in self.replicas:
            if one.phase == "ready":
                await one.reload()

    def forgive(self) -> None:
        """Try anew what failed."""
        self.forgives = True
        for kept in self.versions.values():
            kept.forgive()
        self.rounds.wake()

    async def close(self) -> None:
        """Look after it no more; its replicas go on."""
        await self.rounds.close()
        for kept in self.versions.values():
            kept.close()
        self.address.stop()


def worst(states: list[Told]) -> Told:
    """Return the state of a service whose callers reach versions that are so."""
    order: tuple[State, ...] = ("Transitioning", "Unschedulable", "Unhealthy", "Failed", "Healthy")
    for state in order:
        for found, error in states:
            if found == state:
                return found, error
    return "Unhealthy", fault("It has no version.")
