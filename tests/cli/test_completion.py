"""Completion in a real bash: commands, options, and the names that a workspace knows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from calotype.hosting.management import DeployRequest, Management
from calotype.workspace.names import registered_names
from calotype.workspace.workspace import Workspace

SOURCES = Path(__file__).parents[2] / "src"
SHOW = """
source <("$1" completion bash)
COMP_WORDS=("${@:2}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_calotype_completion calotype
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace and with a program called calotype."""
    folder = tmp_path_factory.mktemp("completed")
    workspace = Workspace.create("completed", folder)
    model = folder / "ridge.onnx"
    model.write_bytes(b"1")
    workspace.models.register(model, "ridge-model")
    Management(workspace).deploy(DeployRequest("nightly-job", "batch", models=("ridge-model",)))
    workspace.close()
    program = folder / "bin" / "calotype"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m calotype "$@"\n')
    program.chmod(0o755)
    return folder


def completed(home: Path, *words: str) -> list[str]:
    bash = shutil.which("bash")
    assert bash is not None
    program = home / "bin" / "calotype"
    environment = {
        **os.environ,
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(SOURCES),
    }
    told = subprocess.run(
        [bash, "-c", SHOW, "bash", str(program), "calotype", *words],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return told.stdout.split()


def test_bash_completes_commands(home: Path) -> None:
    assert completed(home, "service", "get-") == ["get-keys", "get-access-token", "get-logs"]


def test_bash_completes_names_of_services(home: Path) -> None:
    assert completed(home, "service", "show", "-n", "nig") == ["nightly-job"]


def test_bash_completes_names_of_models(home: Path) -> None:
    assert completed(home, "model", "deploy", "-n", "new", "-m", "rid") == ["ridge-model"]
    assert completed(home, "model", "show", "rid") == ["ridge-model"]


def test_names_are_read_without_anything_heavy(home: Path) -> None:
    script = (
        "import sys\n"
        "from calotype.workspace.names import registered_names\n"
        f"assert registered_names('services', workspace={str(home)!r}) == ['nightly-job']\n"
        "heavy = {'sqlalchemy', 'pandas', 'numpy', 'onnxruntime', 'alembic', 'fsspec'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    subprocess.run([sys.executable, "-c", script], env=environment, timeout=60, check=True)


def test_no_workspace_has_no_names(tmp_path: Path) -> None:
    assert registered_names("models", workspace=str(tmp_path)) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    from click.testing import CliRunner

    from calotype.cli.main import program

    told = CliRunner().invoke(program, ["completion", shell])
    assert told.exit_code == 0
    assert "_CALOTYPE_COMPLETE" in told.output
    if shell == "fish":  # a description has commas, and is not to end at the first
        assert 'string split --max 1 ","' in told.output
