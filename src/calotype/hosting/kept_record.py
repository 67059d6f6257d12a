"""The record of one service: what there should be, and what its keeper writes down about it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from calotype import errors

if TYPE_CHECKING:
    from calotype.workspace.services import Fault, Service, ServiceRecords, State

    Told = tuple[State, Fault | None]
    """How something is, and why not better."""

logger = logging.getLogger(__name__)

_WRITTEN_WITHIN_S: Final = 1.0
# One for all services: a database that is locked must not take the threads of everything else.
_WRITER: Final = ThreadPoolExecutor(1, thread_name_prefix="record")


def stop_writing() -> None:
    """Give up what has not been written; the next keeper tells it anew.

    A process waits for all that is queued before it ends, and each may wait for a locked database.
    """
    _WRITER.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Changes:
    """Columns of a service and of its versions, by the name of the version."""

    service: dict[str, Any] = field(default_factory=dict[str, Any])
    versions: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def __bool__(self) -> bool:
        return bool(self.service or self.versions)

    def to(self, record: Service) -> Service:
        """Return a record that is changed so."""
        versions = (replace(one, **self.versions.get(one.name, {})) for one in record.versions)
        return replace(record, **self.service, versions=tuple(versions))

    def but(self, written: _Changes) -> _Changes:
        """Return what is left of these when others have been written."""
        left = {
            name: _but(values, written.versions.get(name, {}))
            for name, values in self.versions.items()
        }
        return _Changes(
            _but(self.service, written.service),
            {name: values for name, values in left.items() if values},
        )

    def with_(self, more: _Changes) -> _Changes:
        """Return these and others, which are newer."""
        names = self.versions.keys() | more.versions.keys()
        return _Changes(
            {**self.service, **more.service},
            {
                name: {**self.versions.get(name, {}), **more.versions.get(name, {})}
                for name in names
            },
        )


class KeptRecord:
    """What the keeper knows of the record of one service.

    It is never held up by a database that cannot be written: then `now` tells how things are, and
    the record follows when it can.

    Args:
        records: of the workspace.
        name: of the service.
        now: as it was read last.
    """

    def __init__(self, records: ServiceRecords, name: str, now: Service | None) -> None:
        self._records, self._name = records, name
        self._read = now
        self._made_at = now.created_at if now is not None else None
        self._due = _Changes()
        self._is_late = False
        self._writing: asyncio.Task[None] | None = None

    @property
    def now(self) -> Service | None:
        """What it says, or would say if it could be written; None once it was deleted."""
        if self._read is None or not self._is_late:
            return self._read  # nobody hears of a change that is just being written
        return self._due.to(self._read)

    @now.setter
    def now(self, read: Service | None) -> None:
        self._read = read

    async def tell(self, service: Told, versions: Mapping[str, Told]) -> None:
        """Write down how it is, and how its versions are, in one moment."""
        record = self.now
        if record is None:
            return
        state, error = service
        known = record.error
        if error is not None and known is not None and error["message"] == known["message"]:
            error = known  # told already, at its own time
        said = _Changes(
            _values((state, error)), {name: _values(told) for name, told in versions.items()}
        )
        changes = said.but(_said_by(record))
        if changes:
            logger.info("service %s: %s", self._name, state)
        # What is written late must not come after what is true again.
        self._due = self._due.with_(said) if self._due else changes
        await self._write_due()

    async def tell_serving(self, version: str, revision: int) -> None:
        """Write down which revision of a version callers reach."""
        self._due = self._due.with_(_Changes(versions={version: {"serving_revision": revision}}))
        await self._write_due()

    async def keep_port(self, port: int) -> None:
        """Write down a port that was chosen, so that the address stays."""
        record = self.now
        if record is not None and record.access.port != port:
            access = record.access.model_copy(update={"port": port})
            self._due = self._due.with_(_Changes({"access": access}))
            await self._write_due()

    async def _write_due(self) -> None:
        if self._due and (self._writing is None or self._writing.done()):
            self._writing = asyncio.get_running_loop().create_task(self._write(self._due))
            await asyncio.wait({self._writing}, timeout=_WRITTEN_WITHIN_S)
        self._is_late = bool(self._due)

    async def _write(self, changes: _Changes) -> None:
        read = self._read
        try:
            with contextlib.suppress(errors.NotFound):  # it is being deleted
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(_WRITER, self._put, changes)
        except Exception as error:  # the next round tries again
            is_ours = isinstance(error, errors.CalotypeError)  # whose message says all
            told = "service %s: its record cannot be written: %s"
            logger.error(told, self._name, error, exc_info=not is_ours)
            return
        if read is not None and self._read is read:  # else it is read again, with this
            self._read = changes.to(read)
        self._due = self._due.but(changes)

    def _put(self, changes: _Changes) -> None:
        with self._records.editing(self._name) as edit:
            if edit.service.created_at != self._made_at:
                return  # it was deleted, and this is another one of that name
            for name, values in changes.versions.items():
                edit.change_version(name, **values)
            service = dict(changes.service)
            if "access" in service:  # of which others may have changed the rest
                port = service["access"].port
                service["access"] = edit.service.access.model_copy(update={"port": port})
            if service:
                edit.change(**service)


def _values(told: Told) -> dict[str, Any]:
    return {"state": told[0], "error": told[1]}


def _said_by(record: Service) -> _Changes:
    versions = {one.name: _values((one.state, one.error)) for one in record.versions}
    return _Changes(_values((record.state, record.error)), versions)


def _but(values: dict[str, Any], written: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if name not in written or written[name] != value
    }
