"""Many processes write at once; some of them are killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from writers import ROUNDS_OF_ONE

from calotype.workspace.check import check
from calotype.workspace.workspace import Workspace

WRITERS = Path(__file__).with_name("writers.py")


@pytest.fixture
def shared(database_url: str, tmp_path: Path) -> Iterator[Workspace]:
    """Make a workspace on a database of each kind."""
    made = Workspace.create("shared", tmp_path / "place", database=database_url)
    yield made
    made.close()


def start_writers(workspace: Workspace, writers: int, rounds: int, within_s: float) -> None:
    command = [sys.executable, "-W", "error", WRITERS, workspace.place.root]
    run = subprocess.run(
        [*command, str(writers), str(rounds), str(within_s)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (run.returncode, run.stderr) == (0, "")


def check_reported(workspace: Workspace) -> dict[str, int]:
    """Check that all that was reported is there, whole, and return how much that is."""
    lines = (workspace.place.root / "reported").read_text().splitlines()
    said = [line.split() for line in lines]
    runs = {run.id for run in workspace.runs.list()}
    services = {service.name: service for service in workspace.services.list()}
    models = {(model.version, model.artifact) for model in workspace.models.list()}
    noted = {entry.subject for entry in workspace.audit.list(limit=100_000)}
    assert {words[1] for words in said if words[0] == "run"} <= runs
    assert {words[1] for words in said if words[0] == "service"} <= services.keys()
    assert {words[1] for words in said if words[0] == "audit"} <= noted
    versions = [version for version, _ in models]
    assert sorted(versions) == list(range(1, len(versions) + 1))
    assert {int(words[1]) for words in said if words[0] == "model"} <= set(versions)
    for service in services.values():
        assert [len(version.revisions) for version in service.versions] == [1]
    damage = [finding for finding in check(workspace) if finding.is_damage]
    assert damage == []
    return {kind: sum(words[0] == kind for words in said) for kind in ("run", "service", "model")}


def test_eight_processes_write_at_once(shared: Workspace) -> None:
    start_writers(shared, writers=8, rounds=1, within_s=0)
    count = 8 * ROUNDS_OF_ONE
    assert check_reported(shared) == {"run": count, "service": count, "model": count}
    assert len(shared.models.list()) == count
    assert shared.fact("last") in {service.name for service in shared.services.list()}


@pytest.mark.slow
def test_killed_writers_lose_nothing_that_was_reported(shared: Workspace) -> None:
    start_writers(shared, writers=8, rounds=7, within_s=0.02)  # 112 kills on both
    assert all(count > 0 for count in check_reported(shared).values())
    # The workspace goes on as if nothing had been.
    (shared.place.root / "file").write_text("content")
    before = len(shared.models.list())
    assert shared.models.register(shared.place.root / "file", "shared").version == before + 1
