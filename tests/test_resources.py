"""What a container leaves its processes, told by trees of files as Linux has them."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from calotype import resources

MEMORY = psutil.virtual_memory().total


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("own", "files", "cores", "memory_bytes"),
    [
        ("0::/\n", {"cpu.max": "50000 100000\n", "memory.max": "1000000\n"}, 1, 1_000_000),
        (
            "0::/a/b\n",
            {"memory.max": "max\n", "a/memory.max": "2000000\n", "a/b/memory.max": "3000000\n"},
            None,
            2_000_000,
        ),
        ("0::/\n", {"cpu.max": "max 100000\n", "memory.max": "max\n"}, None, MEMORY),
        (
            "4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n",
            {  # what a container sees of itself is at the top
                "memory/memory.limit_in_bytes": "5000000\n",
                "cpu/cpu.cfs_quota_us": "100000\n",
                "cpu/cpu.cfs_period_us": "100000\n",
            },
            1,
            5_000_000,
        ),
        (
            "4:memory:/\n3:cpu:/\n2:pids:/x\n",
            {"memory/memory.limit_in_bytes": str(2**63), "cpu/cpu.cfs_quota_us": "-1"},
            None,
            MEMORY,
        ),
        ("0::/../../elsewhere\n", {"memory.max": "7000000 and more"}, None, MEMORY),
        ("", {}, None, MEMORY),
    ],
)
def test_limits_of_a_container(
    own: str,
    files: dict[str, str],
    cores: int | None,
    memory_bytes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(tmp_path, {"own": own})
    write(tmp_path / "groups", files)
    monkeypatch.setattr(resources, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(resources, "_GROUPS", tmp_path / "groups")
    assert resources.usable_cores() == (cores or len(os.sched_getaffinity(0)))
    assert resources.usable_memory_bytes() == memory_bytes


def test_a_share_of_a_core_is_rounded_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"own": "0::/\n", "cpu.max": "150000 100000\n"})
    monkeypatch.setattr(resources, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(resources, "_GROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", {0: range(64)}.__getitem__)
    assert resources.usable_cores() == 2


def test_where_there_are_no_control_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_OWN_GROUPS", Path("/nowhere"))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert resources.usable_cores() == os.cpu_count()
    assert resources.usable_memory_bytes() == MEMORY
