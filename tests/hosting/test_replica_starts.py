"""What is unpacked for a version is run by no other one that gets its name."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from unittest import mock

from doors import record

from calotype.hosting import replica_starts
from calotype.hosting.unpacking import Unpacked
from calotype.workspace.service_settings import AccessSettings
from calotype.workspace.services import Revision, Service, now


def made_now() -> Service:
    service = record("echo", AccessSettings(), b"")
    revision = replace(service.versions[0].revisions[0], created_at=now())
    return replace(service, versions=(replace(service.versions[0], revisions=(revision,)),))


def test_a_version_made_again_while_the_first_is_unpacked_runs_its_own_files(
    tmp_path: Path,
) -> None:
    may_go_on = threading.Event()
    unpacked: list[Revision] = []

    def unpack(_workspace: object, revision: Revision, folder: Path) -> Unpacked:
        assert may_go_on.wait(20)
        folder.mkdir()  # an old one has gone
        unpacked.append(revision)
        return Unpacked("script")

    async def start() -> None:
        service = mock.Mock()
        service.layout.revision.return_value = tmp_path / "default-1"
        leaving = mock.Mock(key=(1, ""), phase="retiring")  # it ends when it has its files
        starts = replica_starts.ReplicaStarts(service, "default")
        service.record.now = first
        starting = asyncio.create_task(starts.launch(leaving))
        await asyncio.sleep(0)
        assert starts.is_unpacking
        may_go_on.set()
        await starting
        assert not starts.is_unpacking
        for service.record.now in (first, second, second):
            await starts.launch(leaving)

    first, second = made_now(), made_now()
    with mock.patch.object(replica_starts, "unpack", unpack):
        asyncio.run(start())
    assert [one.created_at for one in unpacked] == [
        service.versions[0].wanted.created_at for service in (first, second)
    ]


def test_another_keeper_keeps_the_files_of_a_revision_and_no_others(tmp_path: Path) -> None:
    folder = tmp_path / "default-1"

    def unpack(_workspace: object, _revision: Revision, folder: Path) -> Unpacked:
        folder.mkdir(exist_ok=True)
        (folder / "score.py").touch()
        return Unpacked("script")

    def run(service: Service) -> None:
        here = mock.Mock()
        here.layout.revision.return_value, here.record.now = folder, service
        starts = replica_starts.ReplicaStarts(here, "default")
        asyncio.run(starts.launch(mock.Mock(key=(1, ""), phase="retiring")))

    first, second = made_now(), made_now()
    with mock.patch.object(replica_starts, "unpack", unpack):
        run(first)
        (folder / "cache").touch()
        run(first)
        assert (folder / "cache").exists()
        run(second)
    assert (folder / "score.py").exists()
    assert not (folder / "cache").exists()
