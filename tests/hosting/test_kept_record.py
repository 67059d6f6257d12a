"""What a keeper writes down late is of the service that it saw, and of no other."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest import mock

from doors import record

from calotype.hosting import kept_record
from calotype.workspace.service_settings import AccessSettings
from calotype.workspace.services import Service, now
from calotype.workspace.workspace import Workspace


def service_of_now(port: int) -> Service:
    made = record("echo", AccessSettings.of({"port": port}), b"sealed")
    version = replace(made.versions[0], serving_revision=None, state="Transitioning")
    return replace(made, created_at=now(), state="Transitioning", versions=(version,))


def test_a_name_that_is_used_again_is_told_nothing_of_the_one_before(tmp_path: Path) -> None:
    with closing(Workspace.create("records", tmp_path)) as workspace:
        records = workspace.services
        records.add(service_of_now(0))

        async def tell() -> None:
            may_write = threading.Event()
            writer.submit(may_write.wait, 20)  # a database that is slow
            kept = kept_record.KeptRecord(records, "echo", records.get("echo"))
            telling = [
                asyncio.create_task(kept.tell_serving("default", 1)),
                asyncio.create_task(kept.keep_port(9)),
            ]
            await asyncio.sleep(0)
            records.delete("echo")
            records.add(service_of_now(0))
            may_write.set()
            await asyncio.gather(*telling)
            await kept.tell(("Healthy", None), {})

        before = service_of_now(0)
        with ThreadPoolExecutor(1) as writer, mock.patch.object(kept_record, "_WRITER", writer):
            asyncio.run(tell())
        seen = records.get("echo")
        assert seen.version().serving_revision is None
        assert (seen.state, seen.access) == (before.state, before.access)
