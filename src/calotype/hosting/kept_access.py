"""Who may call a service: its keys and rules, as its replicas have them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from calotype import errors
from calotype.hosting.other_tokens import OtherTokens
from calotype.hosting.plan_making import front_of, token_keys

if TYPE_CHECKING:
    from calotype.hosting.kept_replica import KeptReplica
    from calotype.hosting.kept_service import KeptService
    from calotype.serving.front import FrontSettings
    from calotype.workspace.services import Revision, Service

logger = logging.getLogger(__name__)

_ARRIVES_WITHIN_S: Final = 3.0  # a replica whose socket has gone listens anew within one
_AGAIN_S: Final = 0.05


class KeptAccess:
    """The keys and rules of one service.

    Args:
        service: whose.
    """

    def __init__(self, service: KeptService) -> None:
        self._service = service
        self._other_tokens = OtherTokens(service.workspace, service.name)
        self._other_token_keys = ""  # of services whose tokens are refused with 403
        self._digest = ""
        self._closed = ""  # why its secrets cannot be opened

    def front(self, record: Service, revision: Revision) -> FrontSettings:
        """Return what stands before its replicas of a revision."""
        return front_of(
            record,
            revision,
            self._service.credentials(),
            port=self._service.address.port,
            other_token_keys=self._other_token_keys,
        )

    async def push(self, record: Service) -> None:
        """Give its replicas the keys and rules of the record, if they have others.

        Whoever changed them counts on it that the old ones open nothing any more, so it is worth
        a short wait; a replica that does not take them is asked again in every round.
        """
        if record.access.auth == "token":
            with contextlib.suppress(errors.CalotypeError):  # the database is away: as last read
                self._other_token_keys = await asyncio.to_thread(self._other_tokens.read)
        said = record.access.model_dump_json(include={"auth", "cors_origins"})
        said += self._other_token_keys
        digest = hashlib.sha256(said.encode() + record.credentials).hexdigest()
        is_new, self._digest = digest != self._digest, digest
        ends_s = time.monotonic() + (_ARRIVES_WITHIN_S if is_new else 0)
        while waiting := self._waiting():
            await asyncio.gather(*map(self.give, waiting))
            if time.monotonic() > ends_s or self._closed:
                break
            await asyncio.sleep(_AGAIN_S if self._waiting() else 0)
        if is_new and (waiting := self._waiting()):
            names = ", ".join(one.name for one in waiting)
            logger.warning("%s: no answer to new keys yet: %s", self._service.name, names)

    def _waiting(self) -> list[KeptReplica]:
        """Return those that take requests by other keys; one that starts is given them at its end.

        Those that leave still answer callers over open connections.
        """
        return [
            one
            for one in self._service.replicas
            if one.phase in ("ready", "retiring") and one.access != self._digest
        ]

    async def give(self, one: KeptReplica) -> None:
        """Give a replica the keys and rules, if it can be reached."""
        while one.access != self._digest:  # they may change meanwhile
            if not await self._give(one):
                return

    async def _give(self, one: KeptReplica) -> bool:
        record, digest = self._service.record.now, self._digest
        if record is None or not record.versions:
            return False
        versions = {version.name: version for version in record.versions}
        version = versions.get(one.version, record.versions[0])  # what differs is not told
        try:
            front = self.front(record, version.wanted)
        except errors.CalotypeError as error:  # it goes on with those that it has
            self._be_closed(error)
            return False
        self._closed = ""
        if not await one.change_access(front):
            return False
        one.access = digest
        return True

    def token_keys(self, record: Service) -> dict[str, Any] | None:
        """Return the public keys of its tokens; None while its secrets cannot be opened."""
        if record.access.auth != "token":
            return {}
        try:
            keys = token_keys(self._service.credentials())
        except errors.CalotypeError as error:
            self._be_closed(error)
            return None
        self._closed = ""
        return json.loads(keys)

    def _be_closed(self, error: errors.CalotypeError) -> None:
        if str(error) != self._closed:
            logger.warning("%s: %s", self._service.name, error)
        self._closed = str(error)

    @property
    def late(self) -> list[str]:
        """The names of replicas that may still take other keys than the record has."""
        return sorted(one.name for one in self._waiting())
