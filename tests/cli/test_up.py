"""`calotype up`, `down` and `status` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "hosting"))
from hosted import Hosted, hosting


def calotype(hosted: Hosted, *arguments: str) -> Any:
    command = [sys.executable, "-m", "calotype", "-o", "json", "-w", str(hosted.folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_down_ends_all_and_up_brings_it_back() -> None:
    with hosting() as hosted:
        hosted.add("echo")
        hosted.until_state("echo", "Healthy")
        before = calotype(hosted, "status")
        assert before["services"][0]["state"] == "Healthy"
        assert before["services"][0]["replicas"] == 1
        stopped = calotype(hosted, "down")
        assert stopped["keeper"] is None
        assert stopped["services"][0]["state"] == "Unhealthy"
        hosted.until_gone(limit_s=5)
        started = calotype(hosted, "up")
        assert started["front_door"]["uri"].startswith("http://127.0.0.1:")
        hosted.until_state("echo", "Healthy")
        assert hosted.score("echo")[0] == 200


@pytest.mark.parametrize("word", ["up", "down", "status"])
def test_help_shows_examples(word: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "calotype", word, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"calotype {word}" in done.stdout.split("Examples:")[1]
