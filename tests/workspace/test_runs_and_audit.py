"""Records of runs, and of who changed what."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from calotype import errors
from calotype.workspace.runs import Run
from calotype.workspace.services import now, user
from calotype.workspace.workspace import Workspace


def test_a_run_comes_back_as_it_was(workspace: Workspace) -> None:
    run = Run(
        "batch",
        "flowers",
        "Running",
        inputs={"dataset": "images:1"},
        progress={"done": 1},
        started_at=now(),
        tags={"a": "b"},
    )
    assert workspace.runs.add(run) == run
    assert workspace.runs.get(run.id) == run
    with pytest.raises(errors.AlreadyExists):
        workspace.runs.add(run)


def test_runs_are_found_by_subject_kind_and_state_newest_first(workspace: Workspace) -> None:
    moment = now()
    added = [
        workspace.runs.add(Run(kind, subject, state, created_at=moment + timedelta(seconds=number)))
        for number, (kind, subject, state) in enumerate(
            [("batch", "a", "Queued"), ("batch", "b", "Running"), ("other", "a", "Running")]
        )
    ]
    first, second, third = added
    assert workspace.runs.list() == [third, second, first]
    assert workspace.runs.list("a") == [third, first]
    assert workspace.runs.list(kind="batch") == [second, first]
    assert workspace.runs.list("a", state="Running") == [third]


def test_a_change_is_a_sign_of_life(workspace: Workspace) -> None:
    run = workspace.runs.add(Run("batch", "a", "Queued", updated_at=now() - timedelta(days=1)))
    assert workspace.runs.change(run.id, progress={"done": 3})
    changed = workspace.runs.get(run.id)
    assert dataclasses.replace(changed, updated_at=run.updated_at, progress={}) == run
    assert now() - changed.updated_at < timedelta(minutes=1)


def test_of_two_who_begin_a_run_one_does(workspace: Workspace) -> None:
    run = workspace.runs.add(Run("batch", "a", "Queued"))
    begun = [workspace.runs.change(run.id, only_in=["Queued"], state="Running") for _ in range(2)]
    assert begun == [True, False]


def test_an_unknown_run_is_not_found(workspace: Workspace) -> None:
    with pytest.raises(errors.NotFound, match="'absent'"):
        workspace.runs.get("absent")
    with pytest.raises(errors.NotFound, match="'absent'"):
        workspace.runs.change("absent", state="x")
    run = workspace.runs.add(Run("batch", "a", "Queued"))
    assert [workspace.runs.delete(run.id) for _ in range(2)] == [True, False]


def test_the_audit_log_tells_who_did_what_newest_first(workspace: Workspace) -> None:
    for number in range(3):
        workspace.audit.note("service.update", "flowers", revision=number)
    workspace.audit.note("service.delete", "birds")
    entries = workspace.audit.list(subject="flowers", limit=2)
    assert [entry.details for entry in entries] == [{"revision": 2}, {"revision": 1}]
    assert {(entry.who, entry.action) for entry in entries} == {(user(), "service.update")}
    assert now() - entries[0].at < timedelta(minutes=1)
    assert workspace.audit.list()[0].subject == "birds"
