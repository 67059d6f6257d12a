"""Advice of commands: in their own words, and to where the user meant to go."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from calotype.cli.main import program
from calotype.workspace.service_settings import AccessSettings, Inference, RuntimeSettings
from calotype.workspace.services import Revision, Service, Version, machine, now
from calotype.workspace.workspace import Workspace


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = Workspace.create("tests", tmp_path)
    revision = Revision(1, (), Inference(), RuntimeSettings())
    version = Version("default", 100, True, True, 1, 1, "Healthy", None, (revision,))
    service = Service(
        "echo", "cluster", False, AccessSettings(), b"", "stopped", "Healthy", None, machine(),
        "", {}, {}, "me", now(), now(), (version,),
    )  # fmt: skip
    made.services.add(service)
    made.close()
    return tmp_path


def calotype(*arguments: str) -> Result:
    return CliRunner().invoke(program, list(arguments))


def test_a_service_of_nearly_that_name_is_proposed(place: Path) -> None:
    told = calotype("-w", str(place), "service", "get-keys", "-n", "ecco")
    assert "Did you mean 'echo'?" in str(told.exception)
    told = calotype("-w", str(place), "service", "get-keys", "-n", "other")
    assert "`calotype service list` shows all." in str(told.exception)


def test_no_workspace_says_where_it_was_sought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CALOTYPE_WORKSPACE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    told = calotype("service", "list")
    assert f"no .calotype at or above {tmp_path}" in str(told.exception)


def test_a_part_of_a_name_is_enough_for_a_proposal() -> None:
    told = calotype("service", "logs")
    assert "Did you mean 'get-logs'?" in told.output


def test_retired_targets_and_options_of_other_targets(place: Path) -> None:
    deploy = ["-w", str(place), "model", "deploy", "-n", "new", "-m", "none"]
    told = calotype(*deploy, "--ct", "ACI", "--ami", "2", "--nr", "3")
    assert "note: ACI is called --compute instance here." in told.stderr
    assert told.exit_code == 2
    assert "--autoscale-min-replicas belongs to --compute cluster" in told.stderr
    assert "--num-replicas belongs to --compute cluster, not to instance." in told.stderr
    told = calotype("-w", str(place), "service", "list", "--compute", "aks", "-o", "json")
    assert '"name": "echo"' in told.stdout
    assert "is not one of" in calotype(*deploy, "--ct", "aksx").stderr


def test_a_second_workspace_in_a_place_is_refused_with_the_option(place: Path) -> None:
    told = calotype("workspace", "create", "again", "-w", str(place))
    assert "--exist-ok" in str(told.exception)
    assert "schema" in calotype("workspace", "show", "-w", str(place)).stdout
