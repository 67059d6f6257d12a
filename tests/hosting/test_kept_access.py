"""A key that was exchanged opens no replica, whatever was under way at that moment."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from unittest import mock

from doors import record

from calotype.hosting.kept_access import KeptAccess
from calotype.serving.front import FrontSettings
from calotype.workspace.credentials import Credentials
from calotype.workspace.service_settings import AccessSettings


def test_a_replica_that_is_given_its_keys_while_they_change_begins_with_the_new_ones() -> None:
    old = record("echo", AccessSettings(), b"old")
    new = replace(old, credentials=b"new")
    service = mock.Mock()
    service.name, service.record.now, service.address.port = "echo", old, 0
    service.credentials = lambda: Credentials(service.record.now.credentials.decode(), "", "")
    access = KeptAccess(service)
    replica = mock.Mock(version="default", phase="starting", access="")
    service.replicas = [replica]
    given: list[str] = []

    async def take(front: FrontSettings) -> bool:
        given.append(front.primary_key)
        if len(given) == 1:
            service.record.now = new
            await access.push(new)  # it is not ready, so it is not waited for
        return True

    async def become_ready() -> None:
        await access.push(old)
        await access.give(replica)
        replica.phase = "ready"

    replica.change_access = take
    asyncio.run(become_ready())
    assert given == ["old", "new"]
    assert access.late == []
