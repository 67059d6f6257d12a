"""`calotype environment` from the user's chair."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from calotype.cli.main import program
from calotype.workspace.workspace import Workspace


@pytest.fixture
def place(tmp_path: Path) -> Path:
    Workspace.create("tests", tmp_path / "place").close()
    return tmp_path / "place"


def calotype(place: Path, *arguments: str) -> Result:
    return CliRunner().invoke(program, ["-w", str(place), "environment", *arguments])


def document(place: Path, *arguments: str) -> Any:
    told = calotype(place, *arguments, "-o", "json")
    assert told.exit_code == 0, (told.output, told.exception)
    return json.loads(told.stdout)


def test_packages_of_pip_and_variables(place: Path, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy>=1.26\n# nothing\nonnx\n")
    said = ["--pip-requirements", str(tmp_path / "requirements.txt"), "--variable", "MODE=a=b"]
    made = document(place, "register", "numbers", *said, "--python", "3.12")
    assert made["pip_requirements"] == ["numpy>=1.26", "onnx"]
    assert made["environment_variables"] == {"MODE": "********"}
    assert made["python_version"] == "3.12"
    assert document(place, "register", "numbers", *said, "--python", "3.12")["version"] == 1
    assert document(place, "register", "numbers", *said)["version"] == 2
    assert document(place, "show", "numbers:1") == made
    with closing(Workspace.from_config(place)) as workspace:
        assert workspace.environments.get("numbers").environment_variables == {"MODE": "a=b"}
    listed = calotype(place, "list").stdout
    assert listed.index("numbers:2") < listed.index("numbers:1")
    shown = calotype(place, "show", "numbers").stdout
    assert ("numpy>=1.26, onnx" in shown, "MODE=********" in shown) == (True, True)


def test_a_variable_without_a_value_has_that_of_the_caller(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORD", "a=b")
    document(place, "register", "numbers", "--variable", "WORD", "--variable", "EMPTY=")
    with closing(Workspace.from_config(place)) as workspace:
        found = workspace.environments.get("numbers").environment_variables
    assert found == {"WORD": "a=b", "EMPTY": ""}
    told = calotype(place, "register", "numbers", "--variable", "NEVER_SET")
    assert told.exit_code == 2
    assert "the environment has no variable 'NEVER_SET'" in told.stderr


def test_a_conda_file_and_a_python_of_its_own(place: Path, tmp_path: Path) -> None:
    (tmp_path / "conda.yml").write_text("dependencies:\n- python=3.11\n- pip:\n  - onnx\n")
    made = document(place, "register", "numbers", "--conda-file", str(tmp_path / "conda.yml"))
    assert (made["python_version"], made["pip_requirements"]) == ("3.11", ["onnx"])
    python = tmp_path / "python"
    python.touch()
    assert document(place, "register", "own", "--python", str(python))["interpreter"] == str(python)


def test_what_is_wrong_is_said(place: Path, tmp_path: Path) -> None:
    assert "No environments." in calotype(place, "list").stdout
    gone = calotype(place, "register", "own", "--python", str(tmp_path / "nothing"))
    assert "which is no file" in str(gone.exception)
    both = calotype(place, "register", "x", "--conda-file", "a", "--pip-requirements", "b")
    assert both.exit_code == 2
    assert "environment" in str(calotype(place, "show", "nothing").exception)
