"""A version never leaves its callers without a replica, whatever changes while the keeper waits."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from doors import record

from calotype.hosting.capacity import Place
from calotype.hosting.kept_version import KeptVersion
from calotype.hosting.layout import Layout
from calotype.workspace.service_settings import AccessSettings, RuntimeSettings
from calotype.workspace.services import Version
from calotype.workspace.workspace import Workspace

SHAPE = "now"
PLACE = Place("", {"memory_gb": 8.0, "cpu_cores": 2.0, "gpu_cores": 0.0})
Publish = Callable[[], Awaitable[set[str]]]


@dataclass
class Kept:
    """A version of a cluster service with replicas that are processes, and answer nothing."""

    layout: Layout
    stack: ExitStack
    found: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def replica(self, name: str, **facts: Any) -> int:
        """Have one for the keeper to find; return its pid."""
        process = self.stack.enter_context(subprocess.Popen(["sleep", "600"]))
        self.stack.callback(process.kill)
        said = {"pid": process.pid, "revision": 1, "shape": SHAPE, "state": "ready"}
        self.found[name] = {**said, "is_accepting": True, **facts}
        return process.pid

    def reconcile(
        self, before: Callable[[KeptVersion], object], publish: Publish, **values: Any
    ) -> KeptVersion:
        """Return the version after one round with these replicas."""

        async def one_round() -> KeptVersion:
            made = record("echo", AccessSettings(), b"")
            version = replace(made.versions[0], **values)
            service = mock.Mock(target="cluster", shape=SHAPE, layout=self.layout, forgives=False)
            service.name = "echo"
            service.record.now = replace(made, versions=(version,))
            service.record.tell_serving = mock.AsyncMock()
            service.publish, service.reaches.return_value = publish, True
            service.address.trouble = ""
            kept = KeptVersion(service, "default")
            for name, facts in self.found.items():
                kept.adopt(name, facts)
            before(kept)
            try:
                await kept.reconcile(version, PLACE)
            finally:
                kept.close()
            return kept

        return asyncio.run(one_round())


@pytest.fixture
def kept(tmp_path: Path) -> Generator[Kept]:
    with closing(Workspace.create("kept", tmp_path)) as workspace, ExitStack() as stack:
        yield Kept(Layout.of(workspace.place), stack)


async def all_reached() -> set[str]:
    return set()


def phases(kept: KeptVersion) -> dict[str, str]:
    return {one.name: one.phase for one in kept.replicas}


def two_revisions(version: Version) -> dict[str, Any]:
    first = version.revisions[0]
    return {"wanted_revision": 2, "revisions": (first, replace(first, number=2))}


VERSION = record("echo", AccessSettings(), b"").versions[0]


def test_of_two_kinds_of_a_revision_that_serves_which_is_ready(kept: Kept) -> None:
    """A keeper died while replicas changed their port: the new ones are not ready yet."""
    kept.replica("a", state="starting", is_accepting=False)
    kept.replica("b", shape="before")
    seen = kept.reconcile(lambda _: None, all_reached)
    assert seen.serving == (1, "before")
    assert phases(seen) == {"a": "starting", "b": "ready"}


def test_of_too_many_replicas_one_that_answers_stays(kept: Kept) -> None:
    kept.replica("a")
    kept.replica("b")

    def hang(version: KeptVersion) -> None:
        version.replicas[1].is_serving = False

    one = replace(VERSION.revisions[0], runtime=RuntimeSettings(num_replicas=1))
    seen = kept.reconcile(hang, all_reached, revisions=(one,))
    assert phases(seen) == {"a": "ready", "b": "retiring"}


def test_old_replicas_stay_until_the_new_ones_accept(kept: Kept) -> None:
    kept.replica("old")
    kept.replica("new", revision=2, is_accepting=False)  # and does not answer when it is told to
    seen = kept.reconcile(lambda _: None, all_reached, **two_revisions(VERSION))
    assert seen.serving == (1, SHAPE)
    assert phases(seen) == {"old": "ready", "new": "ready"}


def test_old_replicas_stay_when_the_new_ones_die_on_their_way_to_callers(kept: Kept) -> None:
    kept.replica("old")
    kept.replica("new", revision=2)
    seen: list[KeptVersion] = []

    async def publish() -> set[str]:
        (new,) = [one for one in seen[0].replicas if one.name == "new"]
        new.give_up("it died")
        return set()

    after = kept.reconcile(seen.append, publish, **two_revisions(VERSION))
    assert phases(after) == {"old": "ready", "new": "ended"}


def test_what_is_forgiven_while_others_are_looked_at_is_tried_again(kept: Kept) -> None:
    """The round that is under way forgets that its service was to forgive."""
    error = {"message": "it has no weights", "revision": "1"}
    failed: dict[str, Any] = {"serving_revision": None, "state": "Failed", "error": error}
    assert phases(kept.reconcile(lambda _: None, all_reached, **failed)) == {}
    seen = kept.reconcile(KeptVersion.forgive, all_reached, **failed)
    assert list(phases(seen).values()) == ["starting"]
