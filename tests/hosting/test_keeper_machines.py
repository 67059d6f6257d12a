"""A service goes on when its machine gets another name, and is left alone by other machines."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hosted import Hosted, hosting, until

from calotype import errors
from calotype.hosting import keeping
from calotype.hosting.management.management import Management
from calotype.hosting.management.request import DeployRequest
from calotype.workspace import sqlite
from calotype.workspace.workspace import Workspace


def test_a_record_with_an_old_host_name_is_of_this_machine(hosted: Hosted) -> None:
    hosted.add("echo")
    before = hosted.until_state("echo", "Healthy").replicas[0].pid
    hosted.change("echo", host="as-it-was-called")
    keeper = hosted.until_kept()
    os.kill(keeper, signal.SIGKILL)
    hosted.until_kept(but_by=keeper)
    seen = hosted.until_state("echo", "Healthy")
    assert [one.pid for one in seen.replicas] == [before]


def test_a_service_of_another_machine_is_changed_there_only(tmp_path: Path) -> None:
    with hosting(database=sqlite.url_of(tmp_path / "shared.db")) as one:
        one.add("echo")
        one.until_state("echo", "Healthy")
        with hosting(joins=one) as two:
            two.add("other")
            two.until_state("other", "Healthy")
            seen = two.observe("echo")
            assert seen.state == "Healthy"
            assert "It belongs to machine" in (seen.error or {})["message"]
            before = two.workspace.services.get("echo")
            for change in _changes(two.workspace):
                with pytest.raises(errors.NotSupported, match="it belongs to machine"):
                    change()
            assert two.workspace.services.get("echo") == before
            # The machine goes on, and nobody hears of it.
            keeper = one.freeze_keeper()
            _forget_signs(two.workspace)
            seen = two.observe("echo")
            assert (seen.state, seen.versions["default"].state) == ("Unhealthy", "Unhealthy")
            assert "nothing has been heard since" in (seen.error or {})["message"]
            assert "it was Healthy" in (seen.error or {})["message"]
            told = {each["name"]: each for each in keeping.status(two.workspace)["services"]}
            assert (told["echo"]["state"], told["other"]["state"]) == ("Unhealthy", "Healthy")
            assert Management(two.workspace).delete("echo")
            assert one.pids("hosting.replica")
            os.kill(keeper, signal.SIGCONT)
            until(lambda: not one.pids("hosting.replica"), "it ends without its record")
            until(lambda: not one.layout.service("echo").exists(), "its files are removed")
            assert two.answers("other")


def _changes(workspace: Workspace) -> list[Callable[[], object]]:
    """Return all that is refused for a service of another machine."""
    management = Management(workspace)
    inference = workspace.services.get("echo").version().wanted.inference
    again = DeployRequest("echo", "local", inference=inference, overwrite=True)
    return [
        lambda: management.deploy(again),
        lambda: management.update("echo", tags={"a": "b"}),
        lambda: management.reload("echo"),
        lambda: management.roll_back("echo"),
        lambda: management.regenerate_key("echo", "primary"),
        lambda: management.logs("echo"),
        lambda: management.run("echo", b"{}"),
        lambda: management.delete("echo"),
    ]


def _forget_signs(workspace: Workspace) -> None:
    """Let the last sign of all machines be an old one."""
    signs: dict[str, str] = workspace.fact("machines")
    workspace.set_fact("machines", dict.fromkeys(signs, "2026-01-01T00:00:00+00:00"))


def test_a_service_that_now_belongs_to_another_machine_ends_and_keeps_its_files(
    tmp_path: Path,
) -> None:
    with hosting(database=sqlite.url_of(tmp_path / "shared.db")) as hosted:
        hosted.add("echo")
        hosted.until_state("echo", "Healthy")
        hosted.change("echo", host="elsewhere~1234")
        until(lambda: not hosted.pids("hosting.replica"), "it has ended here")
        assert list(hosted.layout.logs("echo").glob("*.log"))
        error = hosted.observe("echo").error
        assert error is not None
        assert (
            "It belongs to machine elsewhere, of which nothing has been heard ever"
            in error["message"]
        )
