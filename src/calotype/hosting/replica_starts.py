"""Starting replicas of one version: what they need is unpacked once for each revision."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype import errors
from calotype.hosting.kept_replica import KeptReplica, Key
from calotype.hosting.plan_making import plan_of
from calotype.hosting.unpacking import Unpacked, listing, unpack

if TYPE_CHECKING:
    from calotype.hosting.kept_service import KeptService
    from calotype.workspace.service_settings import RuntimeSettings
    from calotype.workspace.services import Revision
    from calotype.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

_MARK: Final = ".revision"  # when it was made, in the folder with its files
_PATIENCE_S: Final = 60.0  # with one of a revision that no record knows


class ReplicaStarts:
    """Makes the replicas of one version.

    Args:
        service: whose.
        version: its name.
    """

    def __init__(self, service: KeptService, version: str) -> None:
        self._service = service
        self._version = version
        self._unpacked: dict[tuple[int, datetime | None], Unpacked] = {}
        self._unpacking = asyncio.Lock()

    def new(self, key: Key, name: str = "") -> KeptReplica:
        """Return a replica that is still to be launched or adopted."""
        service = self._service
        name = name or f"{service.name[:16]}-{secrets.token_hex(4)}"
        return KeptReplica(
            name, self._version, key, service.layout, service.name, service.rounds.wake,
            service.access.give,
        )  # fmt: skip

    async def launch(self, one: KeptReplica) -> None:
        """Start the process of a replica; what keeps it from starting is told to it."""
        try:
            await self._launch(one)
        except errors.CalotypeError as error:
            one.give_up(str(error), getattr(error, "trace", ""), is_refused=True)
        except Exception as error:  # in a task of its own: else nobody would ever hear of it
            logger.exception("replica %s cannot be started", one.name)
            one.give_up(f"it cannot be started: {error}")

    async def _launch(self, one: KeptReplica) -> None:
        service = self._service
        record = service.record.now
        assert record is not None
        revision = record.version(self._version).revision(one.key[0])
        unpacked = await self._files(revision)
        if one.phase != "starting":
            return
        plan = plan_of(
            record, self._version, revision, unpacked, layout=service.layout, replica=one.name,
            front=service.access.front(record, revision), listener=service.address.descriptor,
        )  # fmt: skip
        if plan.shape != one.key[1]:
            one.give_up("")  # the address has changed meanwhile
            return
        await one.start(plan, within_s=_patience_s(revision.runtime))

    async def _files(self, revision: Revision) -> Unpacked:
        folder = self._folder(revision.number)
        this = revision.number, revision.created_at
        async with self._unpacking:
            found = self._unpacked.get(this)
            if found is None or not folder.is_dir():
                found = await asyncio.to_thread(_unpack, self._service.workspace, revision, folder)
                self._unpacked[this] = found
            return found

    @property
    def is_unpacking(self) -> bool:
        """Whether files are being written, for whatever replica."""
        return self._unpacking.locked()

    def listing(self, revision: int) -> str:
        """Return what lies in the folder of a revision, for the message of one that failed."""
        return listing(self._folder(revision))

    def _folder(self, revision: int) -> Path:
        return self._service.layout.revision(self._service.name, self._version, revision)

    def adopted(self, name: str, facts: dict[str, object]) -> KeptReplica:
        """Return a replica that another keeper started."""
        number = int(str(facts["revision"]))
        one = self.new((number, str(facts.get("shape", ""))), name)
        one.adopt(dict(facts), within_s=self._patience_with(number))
        return one

    def _patience_with(self, number: int) -> float:
        record = self._service.record.now
        known = [one for one in record.versions if one.name == self._version] if record else []
        for version in known:
            for revision in version.revisions:
                if revision.number == number:
                    return _patience_s(revision.runtime)
        return _PATIENCE_S


def _unpack(workspace: Workspace, revision: Revision, folder: Path) -> Unpacked:
    """Unpack what is not there, and nothing else: not what a deleted version of this name left."""
    mark = folder / _MARK
    identity = str(revision.created_at)
    if not mark.is_file() or mark.read_text(encoding="ascii") != identity:
        shutil.rmtree(folder, ignore_errors=True)
    unpacked = unpack(workspace, revision, folder)
    mark.write_text(identity, encoding="ascii")
    return unpacked


def _patience_s(runtime: RuntimeSettings) -> float:
    """Return how long a replica may take to become ready, as its first probes would have it."""
    return runtime.probe_initial_delay_s + runtime.probe_period_s * runtime.probe_failure_threshold
