"""The services that a keeper looks after: those of the records, and what runs without one."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from calotype.hosting import capacity, locks
from calotype.hosting.keeping import IS_UP
from calotype.hosting.kept_service import KeptService
from calotype.hosting.layout import Layout
from calotype.workspace.machine import is_here

if TYPE_CHECKING:
    from calotype.hosting.kept_door import KeptDoor
    from calotype.workspace.services import Service
    from calotype.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

_SEARCH_EVERY_S: Final = 5.0


class KeptServices:
    """All services of a workspace on this machine.

    Args:
        workspace: whose.
        layout: its places.
        door: the front door.
        by_name: where to put them, as the front door looks at them too.

    Attributes:
        is_up: whether the workspace shall run; None: as far as somebody deploys.
    """

    def __init__(
        self,
        workspace: Workspace,
        layout: Layout,
        door: KeptDoor,
        by_name: dict[str, KeptService],
    ) -> None:
        self.is_up: bool | None = None
        self.by_name = by_name
        self._workspace, self._layout = workspace, layout
        self._door = door
        self._seen: object = None
        self._searched_s = 0.0
        self._refreshing = asyncio.Lock()

    async def refresh(self, *, anew: bool = False) -> None:
        """Read the records, if they have changed."""
        async with self._refreshing:
            found = await asyncio.to_thread(self._changed_records, anew)
            if found is None:
                return
            self.is_up, records = found
            places = capacity.places(records, capacity.machine())
            for record in records:
                self._take(record, places.get(record.name, {}))
            for name in self.by_name.keys() - {record.name for record in records}:
                if self.by_name[name].record.now is not None:
                    _forget(self.by_name[name])

    def _changed_records(self, anew: bool) -> tuple[bool | None, list[Service]] | None:
        seen = self._workspace.services.fingerprint(), self._workspace.fact(IS_UP)
        if seen == self._seen and not anew:
            return None
        place = self._workspace.place
        records = [
            one
            for one in self._workspace.services.list()
            if one.target != "batch" and is_here(place, one.host)
        ]
        self._seen = seen
        return seen[1], records

    def _take(self, record: Service, places: dict[str, capacity.Place]) -> None:
        kept = self.by_name.get(record.name)
        if kept is not None and (kept.is_over or _is_another(kept, record)):
            if not kept.is_over:  # deleted and made anew before we looked
                _forget(kept)
                return
            kept = None
        if kept is None:
            kept = KeptService(
                self._workspace, self._layout, record.name, record, self._door, places
            )
            self.by_name[record.name] = kept
        is_wanted = self.is_up is not False
        if (kept.record.now, kept.places, kept.is_wanted) != (record, places, is_wanted):
            kept.record.now, kept.places, kept.is_wanted = record, places, is_wanted
            kept.rounds.wake()

    async def search(self, *, anew: bool = False) -> None:
        """Wind up what runs without a record: of services that were deleted while nobody looked."""
        now_s = time.monotonic()
        if self._searched_s and now_s - self._searched_s < _SEARCH_EVERY_S and not anew:
            return
        self._searched_s = now_s
        for name in await asyncio.to_thread(_running_services, self._layout):
            if name not in self.by_name:
                logger.warning("service %s runs and has no record", name)
                self.by_name[name] = KeptService(
                    self._workspace, self._layout, name, None, self._door
                )

    def wind_up(self) -> None:
        """End all: the folder of the workspace has gone."""
        for kept in self.by_name.values():
            _forget(kept)
        self.is_up = False

    def forget_over(self) -> None:
        """Let go of those of which nothing is left."""
        over = [name for name, kept in self.by_name.items() if kept.is_over]
        for name in over:
            del self.by_name[name]
        if over:
            self._seen = None

    @property
    def is_needed(self) -> bool:
        """Whether somebody has to look after one of them."""
        return any(map(_is_needed, self.by_name.values()))

    @property
    def is_idle(self) -> bool:
        """Whether no process of them lives."""
        return all(kept.is_idle for kept in self.by_name.values())

    async def close(self) -> None:
        """Look after them no more; their replicas go on."""
        for kept in self.by_name.values():
            await kept.close()


def _forget(kept: KeptService) -> None:
    kept.record.now = None
    kept.rounds.wake()


def _is_needed(kept: KeptService) -> bool:
    record = kept.record.now
    is_wanted = kept.is_wanted and record is not None and record.desired == "running"
    return is_wanted or not kept.is_idle or (record is None and not kept.is_over)


def _running_services(layout: Layout) -> set[str]:
    """Return the names of the services of which a replica lives."""
    found = layout.run.glob("services/*/replicas/*.lock")
    return {path.parent.parent.name for path in found if locks.is_held(path)}


def _is_another(kept: KeptService, record: Service) -> bool:
    """Whether a record is of a new service, which got the name of one that was deleted."""
    known = kept.record.now
    return known is None or (known.created_at, known.target) != (record.created_at, record.target)
