"""The record of one service: what there should be, and what its keeper writes down about it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from calotype import errors

if TYPE_CHECKING:
    from calotype.workspace.services import Fault, Service, ServiceRecords, State

    Told = tuple[State, Fault | None]
    """How something is, and why not better."""

logger = logging.getLogger(__name__)


class KeptRecord:
    """What the keeper knows of the record of one service.

    Args:
        records: of the workspace.
        name: of the service.
        now: as it was read last.

    Attributes:
        now: None once it was deleted.
    """

    def __init__(self, records: ServiceRecords, name: str, now: Service | None) -> None:
        self.now = now
        self._records, self._name = records, name

    async def tell(self, service: Told, versions: Mapping[str, Told]) -> None:
        """Write down how it is, and those of its versions that have changed, in one moment."""
        record = self.now
        if record is None:
            return
        state, error = service
        known = record.error
        if error is not None and known is not None and error["message"] == known["message"]:
            error = known  # told already, at its own time
        if (state, error) == (record.state, record.error) and not versions:
            return
        logger.info("service %s: %s", self._name, state)
        with contextlib.suppress(errors.NotFound):  # it is being deleted
            await asyncio.to_thread(self._write, (state, error), versions)
        for name, said in versions.items():
            self._put_version(name, **_values(said))
        if self.now is not None:
            self.now = replace(self.now, state=state, error=error)

    def _write(self, service: Told, versions: Mapping[str, Told]) -> None:
        with self._records.editing(self._name) as edit:
            for name, said in versions.items():
                edit.change_version(name, **_values(said))
            edit.change(**_values(service))

    async def tell_serving(self, version: str, revision: int) -> None:
        """Write down which revision of a version callers reach."""
        change = self._records.change_version
        await asyncio.to_thread(change, self._name, version, serving_revision=revision)
        self._put_version(version, serving_revision=revision)

    def keep_port(self, port: int) -> None:
        """Write down a port that was chosen, so that the address stays."""
        record = self.now
        if record is not None and record.access.port != port:
            with self._records.editing(self._name) as edit:
                access = edit.service.access.model_copy(update={"port": port})
                edit.change(access=access)
            self.now = replace(record, access=access)

    def _put_version(self, name: str, **values: Any) -> None:
        if self.now is not None:
            versions = (
                replace(one, **values) if one.name == name else one for one in self.now.versions
            )
            self.now = replace(self.now, versions=tuple(versions))


def _values(told: Told) -> dict[str, Any]:
    return {"state": told[0], "error": told[1]}
