"""Who may call a service: its keys and rules, as its replicas have them."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from calotype.hosting.other_tokens import OtherTokens
from calotype.hosting.plan_making import front_of

if TYPE_CHECKING:
    from calotype.hosting.kept_service import KeptService
    from calotype.serving.front import FrontSettings
    from calotype.workspace.services import Revision, Service


class KeptAccess:
    """The keys and rules of one service.

    Args:
        service: whose.
    """

    def __init__(self, service: KeptService) -> None:
        self._service = service
        self._other_tokens = OtherTokens(service.workspace, service.name)
        self._other_token_keys = ""  # of services whose tokens are refused with 403
        self._pushed = ""

    def front(self, record: Service, revision: Revision) -> FrontSettings:
        """Return what stands before its replicas of a revision."""
        return front_of(
            record,
            revision,
            self._service.credentials(),
            port=self._service.address.port,
            other_token_keys=self._other_token_keys,
        )

    def forget_pushed(self) -> None:
        """Replicas were found of which nobody knows which keys they have."""
        self._pushed = ""

    async def push(self, record: Service) -> None:
        """Give its replicas the keys and rules of the record, if they have others."""
        if record.access.auth == "token":
            self._other_token_keys = await asyncio.to_thread(self._other_tokens.read)
        said = record.access.model_dump_json(include={"auth", "cors_origins"})
        said += self._other_token_keys
        digest = hashlib.sha256(said.encode() + record.credentials).hexdigest()
        if digest == self._pushed:
            return
        for version in record.versions:
            front = self.front(record, version.wanted)
            for one in self._service.versions[version.name].replicas:
                if one.is_live:
                    await one.change_access(front)
        if not any(one.phase == "starting" for one in self._service.replicas):
            self._pushed = digest
