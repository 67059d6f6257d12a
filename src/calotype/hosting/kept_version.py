"""One version of a service as the keeper runs it: the right replicas of the right revision."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from calotype.hosting.kept_door import EVERYTHING
from calotype.hosting.kept_replica import KeptReplica, Key
from calotype.hosting.observation import fault
from calotype.hosting.replica_starts import ReplicaStarts
from calotype.hosting.replica_watch import ReplicaWatch

if TYPE_CHECKING:
    from calotype.hosting.capacity import Place
    from calotype.hosting.kept_service import KeptService
    from calotype.workspace.service_settings import RuntimeSettings
    from calotype.workspace.services import Fault, State, Version

logger = logging.getLogger(__name__)

_SETTLED_S: Final = 10.0  # who served that long did not die of its start
_STARTS_AT_ONCE: Final = 4  # each takes a core for a while
_TRIES: Final = 3  # of a revision that has never served
_LEAVES_WITHIN_S: Final = 30.0


class KeptVersion:
    """The replicas of one version.

    Args:
        service: whose.
        name: of the version.

    Attributes:
        replicas: all that live, of whatever revision.
        scale: how many there should be, of those whose number follows the load.
        serving: what callers reach; None before the first was ready.
        is_known: whether `serving` has been found out.
    """

    def __init__(self, service: KeptService, name: str) -> None:
        self.name = name
        self.replicas: list[KeptReplica] = []
        self.scale = 0
        self.serving: Key | None = None
        self.is_known = False
        self._service = service
        self._starts = ReplicaStarts(service, name)
        self._watch = ReplicaWatch(self._later)
        self._wanted = 0
        self._forgives = False
        self._failed: Fault | None = None  # why the wanted revision cannot be
        self._trouble: Fault | None = None  # why something is not as it should be now
        self._closed: Fault | None = None  # why callers do not reach what is ready
        self._was_reached = False
        self._shortage: Fault | None = None  # why the machine or the port leaves no room for it
        self._failures = 0
        self._next_try_s = 0.0
        self._leave_by_s = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    # What there should be

    async def reconcile(self, version: Version, place: Place) -> None:
        """Bring its replicas one step nearer to what the record wants.

        Args:
            version: as the record has it.
            place: what the machine had for it when the record was read.
        """
        self._learn(version)
        self._bury(version)
        wanted = (version.wanted_revision, self._service.shape)
        count = self._count(version.wanted.runtime, place)
        self._shortage = self._short(place)
        old = self.serving
        if self._failed is None and self._shortage is None:
            if await self._bring(wanted, count) and await self._switch(wanted, version):
                old = None
        elif wanted != old and version.serving_revision != version.wanted_revision:
            self._retire([one for one in self.replicas if one.key == wanted], is_replaced=False)
        if old is not None and old != wanted:
            kept = version.revision(old[0]).runtime
            if old[1] == self._service.shape:
                await self._bring(old, self._count(kept, place))
        await self._leave_strays(wanted)
        self._watch.look(version, self.replicas)

    async def _leave_strays(self, wanted: Key) -> None:
        """End what is neither wanted nor serving: the old ones, or what another keeper had begun.

        They answer in turn with what serves, whose listening socket they share. They stay while
        callers reach nothing else.
        """
        kinds = wanted, self.serving
        strays = [one for one in self.replicas if one.key not in kinds and one.is_live]
        if not strays:
            self._leave_by_s = 0.0
        elif self.serving is None:
            self._retire(strays, is_replaced=False)
        elif any(map(self.is_ready, self.replicas)) and await self._is_reached():
            self._leave_by_s = 0.0
            self._retire(strays, is_replaced=True)
        else:
            if not any(map(self.is_ready, self.replicas)):
                self._leave_by_s = 0.0
            self._retire([one for one in strays if one.phase == "starting"], is_replaced=True)

    async def _is_reached(self) -> bool:
        """Return whether callers reach all that serves, or have been waited for long enough.

        A front door that never answers keeps nobody from being updated: it passes nothing on.
        """
        self._leave_by_s = self._leave_by_s or time.monotonic() + _LEAVES_WITHIN_S
        unreached = await self._service.publish()
        key = self.serving
        ready = [one for one in self.replicas if one.key == key and one.phase == "ready"]
        if self._service.address.has_port:  # who calls there needs no front door that is silent
            unreached -= EVERYTHING
        are_reached = unreached.isdisjoint({*EVERYTHING, *(one.name for one in ready)})
        if not any(map(self.is_ready, ready)):
            return False  # they have died meanwhile
        are_serving = all(map(self.is_ready, ready))
        return (are_reached and are_serving) or time.monotonic() > self._leave_by_s

    def _learn(self, version: Version) -> None:
        if version.wanted_revision != self._wanted:
            self._wanted = version.wanted_revision
            self._failed = self._trouble = None
            self._failures, self._next_try_s = 0, 0.0
            said = version.error or {}
            forgives = self._forgives or self._service.forgives
            if said.get("revision") == str(self._wanted) and not forgives:
                self._failed = version.error
            self._forgives = False
        if self.serving is None and version.serving_revision is not None:
            # Of those that were found running, or will be started.
            found = [one for one in self.replicas if one.key[0] == version.serving_revision]
            best = max(
                found, key=lambda one: (one.phase == "ready", one.is_accepting), default=None
            )
            self.serving = best.key if best else (version.serving_revision, self._service.shape)
        self.is_known = True

    def _count(self, runtime: RuntimeSettings, place: Place) -> int:
        if self._service.target != "cluster":
            return 1
        if runtime.num_replicas is not None:
            return runtime.num_replicas
        if not self.scale:  # as many as another keeper had found right
            self.scale = sum(one.is_live and one.key == self.serving for one in self.replicas)
        least, most = runtime.autoscale_min_replicas, runtime.autoscale_max_replicas
        most = min(most, place.most_replicas(runtime))
        self.scale = min(max(self.scale, least), max(most, least))
        return self.scale

    async def _bring(self, key: Key, count: int) -> bool:
        """Start or retire replicas of one kind; return whether all are ready."""
        live = [one for one in self.replicas if one.key == key and one.is_live]
        ready = [one for one in live if one.phase == "ready"]
        if len(live) < count and time.monotonic() >= self._next_try_s:
            starting = len(live) - len(ready)
            for _ in range(min(count - len(live), _STARTS_AT_ONCE - starting)):
                one = self._starts.new(key)
                self.replicas.append(one)
                self._later(self._starts.launch(one))
        elif len(live) > count:
            spare = sorted(live, key=self._worth)
            self._retire(spare[: len(live) - count], is_replaced=True)
        if key == self.serving:
            for one in ready:
                await one.accept()
        return len(ready) >= count

    def _worth(self, one: KeptReplica) -> tuple[bool, bool, bool, int]:
        """Return how much callers would miss a replica."""
        return one.phase == "ready", self._is_served(one), one.is_accepting, one.in_flight

    async def _switch(self, key: Key, version: Version) -> bool:
        """Let callers reach the new replicas; return whether all of these take their requests."""
        new = [one for one in self.replicas if one.key == key and one.phase == "ready"]
        for one in new:
            await one.accept()
        if not all(one.phase == "ready" and one.is_accepting for one in new):
            return False  # those that are there go on
        if self.serving != key or version.serving_revision != key[0]:
            self.serving = key
            logger.info("%s %s: revision %d serves", self._service.name, self.name, key[0])
            await self._service.record.tell_serving(self.name, key[0])
        return True

    def _retire(self, replicas: list[KeptReplica], *, is_replaced: bool) -> None:
        for one in replicas:
            one.retire(is_replaced=is_replaced)

    def retire_all(self) -> None:
        """Let all end."""
        self._retire(self.replicas, is_replaced=False)

    def forgive(self) -> None:
        """Try anew what failed."""
        self._wanted, self._forgives = 0, True

    def adopt(self, name: str, facts: dict[str, object]) -> None:
        """Take in a replica that another keeper started."""
        self.replicas.append(self._starts.adopted(name, facts))

    # Ends

    def _bury(self, version: Version) -> None:
        """Take note of replicas that have ended, and of why."""
        for one in [one for one in self.replicas if one.phase == "ended"]:
            self.replicas.remove(one)
            if one.reason:
                self._mourn(one, version)

    def _mourn(self, one: KeptReplica, version: Version) -> None:
        now_s = time.monotonic()
        if one.ready_s and now_s - one.ready_s > _SETTLED_S:
            self._failures = 0
        self._failures += 1
        logger.warning("%s %s: %s: %s", self._service.name, one.name, self.name, one.reason)
        self._trouble = fault(one.reason, one.trace)
        is_new = one.key[0] == version.wanted_revision != version.serving_revision
        if is_new and not one.ready_s and (one.is_refused or self._failures >= _TRIES):
            files = self._starts.listing(one.key[0])
            self._failed = fault(
                one.reason, one.trace, revision=str(one.key[0]), files=files, log=one.log
            )
        longest_s = 5.0 if one.ready_s or not one.is_refused else 30.0
        delay_s = 0.0 if self._failures == 1 else 0.25 * 2 ** min(self._failures, 8)
        self._next_try_s = now_s + min(delay_s, longest_s)

    # Looking after them

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def pulse_s(self) -> float:
        """How often it has to be looked at when nobody tells of a change."""
        is_settled = bool(self.replicas) and all(map(self._is_served, self.replicas))
        return self._watch.pulse_s if is_settled else min(self._watch.pulse_s, 1.0)

    @property
    def is_hopeless(self) -> bool:
        """Whether nothing answers, and nothing will until the record changes."""
        if any(one.is_live for one in self.replicas):
            return False
        if self.serving is not None and self.serving[0] != self._wanted:
            return False  # what served before is started again
        place = self._service.places.get(self.name)
        return self._failed is not None or bool(place and place.shortage)

    @property
    def is_unpacking(self) -> bool:
        """Whether files are being written, which nobody else may have to find."""
        return self._starts.is_unpacking

    @property
    def next_try_s(self) -> float:
        """When something may be tried again, on the monotonic clock."""
        return self._next_try_s

    def is_ready(self, one: KeptReplica) -> bool:
        """Whether callers reach a replica, and it takes their requests."""
        return one.phase == "ready" and one.is_serving and one.key == self.serving

    def _is_served(self, one: KeptReplica) -> bool:
        return self.is_ready(one) and self._service.reaches(one)

    @property
    def _others_answer(self) -> bool:
        """Whether new callers may still reach what served before."""
        return any(one.is_accepting and one.key != self.serving for one in self.replicas)

    def state(self, version: Version) -> tuple[State, Fault | None]:
        """Return how it is, and why not better."""
        serves = any(map(self.is_ready, self.replicas))
        shape = self._service.shape
        is_over = (self._failed or self._shortage) is not None
        wanted = (version.wanted_revision, shape)
        is_changing = (self.serving != wanted or self._others_answer) and not is_over
        if barred := self._barred(serves=serves):
            return barred
        if serves:
            self._was_reached = True
            return ("Transitioning" if is_changing else "Healthy"), self._failed or self._shortage
        if self._failed is not None:
            return ("Failed" if version.serving_revision is None else "Unhealthy"), self._failed
        if self._shortage is not None:
            return "Unschedulable", self._shortage
        if version.serving_revision is None or not self._failures:
            return "Transitioning", self._trouble
        return "Unhealthy", self._trouble

    def _barred(self, *, serves: bool) -> tuple[State, Fault] | None:
        """Return how it is when callers do not get as far as its replicas."""
        why = self._service.barrier if serves or self._failed is None else ""
        state: State = "Unschedulable"
        if not why and serves and not self._is_reachable:
            is_silent = not self._service.is_reachable
            why = f"The front door does not {'answer' if is_silent else 'reach it yet'}."
            others = [one for one in self.replicas if one.phase == "ready"]
            goes_on = any(one.key != self.serving for one in others)  # they wait to be replaced
            state = "Unhealthy" if self._was_reached and not goes_on else "Transitioning"
        if not why:
            self._closed = None
            return None
        if self._closed is None or self._closed["message"] != why:
            self._closed = fault(why)
        return state, self._closed

    @property
    def _is_reachable(self) -> bool:
        return self._service.is_reachable and any(map(self._is_served, self.replicas))

    def _short(self, place: Place) -> Fault | None:
        said = place.shortage or self._service.address.trouble
        known = self._shortage
        if known is not None and known["message"] == said:
            return known  # at its own time
        return fault(said) if said else None

    def revisions_in_use(self, version: Version) -> set[int]:
        """Return the revisions whose files are needed."""
        used = {version.wanted_revision, *(one.key[0] for one in self.replicas)}
        return used | ({version.serving_revision} - {None})  # type: ignore[return-value]

    def close(self) -> None:
        """Look after them no more; they go on."""
        for task in self._tasks:
            task.cancel()
        for one in self.replicas:
            one.close()
