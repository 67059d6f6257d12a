"""Where sockets are does not depend on who asks, and they come back when somebody removes them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hosted import ECHO, Hosted, until

from calotype import errors
from calotype.hosting import keeping, socket_folder

OBSERVER = """
import sys
from calotype.hosting import keeping
from calotype.workspace.workspace import Workspace

print(keeping.status(Workspace.from_config(sys.argv[1]))["keeper"])
"""


def test_another_temporary_folder_finds_the_same_keeper(hosted: Hosted, tmp_path: Path) -> None:
    hosted.add("echo")
    hosted.until_state("echo", "Healthy")
    for variable in ("TMPDIR", "XDG_RUNTIME_DIR"):
        said = subprocess.run(
            [sys.executable, "-c", OBSERVER, str(hosted.workspace.place.root)],
            env={**os.environ, variable: str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert int(said.stdout) == hosted.keeper()


def test_sockets_that_somebody_removed_come_back(hosted: Hosted) -> None:
    hosted.add("many", target="cluster", num_replicas=1)
    before = hosted.until_state("many", "Healthy").replicas[0]
    until(lambda: hosted.answers("many"), "the front door answers")
    keeper, sockets = hosted.keeper(), hosted.layout.sockets
    there = {path.name for path in sockets.iterdir() if path.is_socket()}
    away = sockets.rename(sockets.with_name("away"))  # at once: who looks makes it anew
    shutil.rmtree(away)
    assert {"keeper", "front-door", f"{before.replica}.wire"} <= there
    until(
        lambda: sockets.is_dir() and there <= {path.name for path in sockets.iterdir()},
        "all listen anew",
    )
    assert hosted.keeper() == keeper
    (door,) = hosted.pids("hosting.front_door")
    os.kill(door, signal.SIGKILL)
    until(lambda: hosted.answers("many"), "another front door finds the replica")
    assert [one.pid for one in hosted.observe("many").replicas] == [before.pid]
    hosted.update("many", ECHO.replace("1", "2"))
    hosted.until_state("many", "Healthy")
    keeping.down(hosted.workspace)
    hosted.until_gone()
    assert not sockets.exists()


def test_a_long_name_of_a_workspace_has_its_sockets_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*(["a" * 50] * 3))
    assert socket_folder.place_of(Path("/w/.calotype")) == Path("/w/.calotype/run/s")
    elsewhere = socket_folder.place_of(deep)
    assert elsewhere.parent.name == f"calotype-{os.getuid()}"
    assert len(str(elsewhere)) < 60
    assert elsewhere != socket_folder.place_of(deep / "b")


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    open_ = tmp_path / "s"
    open_.mkdir()
    open_.chmod(0o755)
    with pytest.raises(errors.CannotWrite, match="only you may enter"):
        socket_folder.make(open_)
