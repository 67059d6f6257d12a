"""Deploying, updating and deleting again and again leaves nothing behind."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hosted import ECHO, Hosted, is_listening

from calotype.hosting import control

CYCLES = 50
AT_ONCE = 5


@pytest.mark.slow
def test_50_cycles_leave_nothing(hosted: Hosted) -> None:
    hosted.add("constant")
    keeper = hosted.until_state("constant", "Healthy") and hosted.keeper()
    ports: set[int] = set()
    open_files: list[int] = []
    for round_ in range(CYCLES // AT_ONCE):
        names = [f"cycle-{round_}-{number}" for number in range(AT_ONCE)]
        for name in names:
            hosted.add(name)
        for name in names:
            hosted.until_state(name, "Healthy")
            hosted.update(name, ECHO.replace("1", "2"))
        for name in names:
            hosted.until_state(name, "Healthy")
            assert hosted.score(name)[1]["revision"] == 2
            ports.add(hosted.port(name))
            hosted.delete(name)
        hosted.until("constant", lambda _: len(_folders(hosted)) == 1, "only one service is left")
        open_files.append(len(os.listdir(f"/proc/{keeper}/fd")))
    assert len(hosted.pids("hosting.replica")) == 1
    assert not any(map(is_listening, ports - {hosted.port("constant")}))
    assert hosted.keeper() == keeper
    # The pool of five database connections fills in the first rounds; nothing grows afterwards.
    assert max(open_files[-3:]) <= open_files[len(open_files) // 2] + 3
    assert [one.name for one in hosted.workspace.services.list()] == ["constant"]
    replica = hosted.observe("constant").replicas[0].replica
    left = {path.name for path in hosted.layout.sockets.iterdir()}
    assert left == {"keeper", f"{replica}.control", f"{replica}.wire"}
    hosted.delete("constant")
    hosted.until_gone()
    assert not hosted.layout.sockets.exists()
    assert _folders(hosted) == []
    with pytest.raises(control.NobodyThere):
        control.ask(hosted.layout.keeper_socket, "ping")
    gc.collect()


def _folders(hosted: Hosted) -> list[Path]:
    return list((hosted.layout.run / "services").iterdir())
