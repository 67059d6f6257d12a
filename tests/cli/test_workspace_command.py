"""`calotype workspace` from the user's chair."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from calotype.workspace.workspace import Workspace


def calotype(*arguments: str | Path, cwd: Path, **variables: str) -> Any:
    home = {"XDG_DATA_HOME": str(cwd / "data"), "CALOTYPE_WORKSPACE": "", **variables}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "calotype", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | home,
    )


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Make a workspace with one model in the folder `place`."""
    workspace = Workspace.create("flowers", tmp_path / "place")
    (tmp_path / "model.bin").write_text("weights")
    workspace.models.register(tmp_path / "model.bin", "model")
    workspace.close()
    return tmp_path / "place"


def test_create_then_show(tmp_path: Path) -> None:
    run = calotype("workspace", "create", "flowers", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert ["name", "flowers"] in [line.split() for line in run.stdout.splitlines()]
    (tmp_path / "deep").mkdir()
    run = calotype("workspace", "show", "-o", "json", cwd=tmp_path / "deep")
    assert json.loads(run.stdout) == {
        "name": "flowers",
        "location": str(tmp_path / ".calotype"),
        "database": str(tmp_path / ".calotype/workspace.db"),
        "artifacts": str(tmp_path / ".calotype/artifacts"),
        "revision": "0002",
        "datasets": 0,
        "models": 0,
        "environments": 0,
        "runs": 0,
        "services": 0,
    }
    run = calotype("workspace", "create", "flowers", cwd=tmp_path)
    assert (run.returncode, run.stderr[:11]) == (1, "error 0057:")
    assert calotype("workspace", "create", "x", "--exist-ok", "-q", cwd=tmp_path).returncode == 0


def test_every_way_to_name_a_workspace(made: Path, tmp_path: Path) -> None:
    def name(*arguments: str | Path, **variables: str) -> str:
        run = calotype(*arguments, "-o", "json", cwd=tmp_path, **variables)
        return json.loads(run.stdout)["name"] if run.returncode == 0 else run.stderr[:11]

    assert name("workspace", "show") == "error 2004:"
    assert name("workspace", "show", "-w", made) == "flowers"
    assert name("-w", made, "workspace", "show") == "flowers"
    assert name("-w", tmp_path, "workspace", "show", "-w", made) == "flowers"
    assert name("workspace", "show", CALOTYPE_WORKSPACE=str(made)) == "flowers"
    assert name("workspace", "show", "--workspace", made.as_uri()) == "flowers"
    assert name("workspace", "show", "-w", tmp_path / "absent") == "error 2004:"


def test_the_management_key_is_shown_on_demand_only(made: Path, tmp_path: Path) -> None:
    workspace = Workspace.from_config(made)
    key = workspace.management_key
    workspace.close()
    show = ("workspace", "show", "-w", made)
    assert key not in calotype(*show, cwd=tmp_path).stdout
    assert key in calotype(*show, "--with-credential", cwd=tmp_path).stdout


def test_check_tells_what_is_damaged(made: Path, tmp_path: Path) -> None:
    check = ("workspace", "check", "-w", made)
    run = calotype(*check, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (0, "flowers: all is well.\n")
    for path in (made / ".calotype/artifacts/blobs").rglob("*"):
        if path.is_file() and path.read_bytes() == b"weights":
            path.write_bytes(b"other")
    run = calotype(*check, "-o", "json", cwd=tmp_path)
    assert run.returncode == 1
    document = json.loads(run.stdout)
    assert document["ok"] is False
    assert document["findings"][0]["problem"] == "'model.bin' has changed since it was stored."
    run = calotype(*check, cwd=tmp_path)
    assert run.stderr.startswith("error 2007: ")
    assert run.stderr.count("\n") == 1
    assert "model.bin" in run.stdout


def test_gc_deletes_and_counts(made: Path, tmp_path: Path) -> None:
    workspace = Workspace.from_config(made)
    workspace.models.delete(workspace.models.get("model"))
    workspace.close()
    gc = ("workspace", "gc", "-w", made, "-o", "json")
    assert json.loads(calotype(*gc, cwd=tmp_path).stdout)["blobs"] == 0
    assert json.loads(calotype(*gc, "--all", cwd=tmp_path).stdout)["blobs"] == 2


def test_a_damaged_database_is_one_line(made: Path, tmp_path: Path) -> None:
    (made / ".calotype/workspace.db").write_bytes(b"nonsense " * 1000)
    run = calotype("workspace", "show", "-w", made, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith(f"error 2007: {made}/.calotype/workspace.db: ")
    assert run.stderr.count("\n") == 1


def test_a_password_is_not_repeated(tmp_path: Path) -> None:
    url = f"postgresql://me:geheim@/x?host={tmp_path}"
    run = calotype("workspace", "create", "flowers", "--database", url, cwd=tmp_path)
    assert (run.returncode, run.stderr[:11]) == (1, "error 2006:")  # and PGPASSWORD is named
    assert "geheim" not in run.stderr
    run = calotype("workspace", "show", "-w", url, "-v", cwd=tmp_path)
    assert run.returncode == 1
    assert "geheim" not in run.stderr


def test_the_program_and_its_help_load_no_database() -> None:
    code = (
        "import sys; import calotype.cli.main as main; main._run(['workspace', '--help'])\n"
        "print({'sqlalchemy', 'alembic', 'fsspec', 'pandas'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("set()\n")


def test_showing_a_workspace_loads_only_what_it_needs(tmp_path: Path) -> None:
    assert calotype("workspace", "create", "flowers", cwd=tmp_path).returncode == 0
    code = (
        "import sys; import calotype.cli.main as main; main._run(['workspace', 'show'])\n"
        "heavy = {'alembic', 'cryptography', 'fsspec', 'numpy', 'pandas', 'pydantic'}\n"
        "print(heavy & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert run.stdout.endswith("set()\n")
