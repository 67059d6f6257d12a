"""`calotype up`, `down` and `status` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

sys.path.insert(0, str(Path(__file__).parents[1] / "hosting"))
from hosted import Hosted, hosting

from calotype.serving.server import listen


def started(hosted: Hosted, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "calotype", "-o", "json", "-w", str(hosted.folder), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=180, check=False, cwd=hosted.folder
    )


def calotype(hosted: Hosted, *arguments: str) -> Any:
    done = started(hosted, *arguments)
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
        hosted.until_gone()
        up = calotype(hosted, "up")
        assert up["front_door"]["uri"].startswith("http://127.0.0.1:")
        hosted.until_state("echo", "Healthy")
        assert hosted.score("echo")[0] == 200
        check_moves(hosted, up["front_door"]["uri"])


def check_moves(hosted: Hosted, uri: str) -> None:
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(hosted.folder / "pair.pem")
    found = calotype(hosted, "up", "--tls-cert", "pair.pem", "--tls-key", "pair.pem")
    assert found["front_door"]["uri"] == uri.replace("http:", "https:")
    with listen("127.0.0.1", 0) as foreign:
        port = str(foreign.getsockname()[1])
        refused = started(hosted, "up", "--no-tls", "--port", port)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert "error 2003" in line
    assert port in line
    assert calotype(hosted, "up", "--no-tls")["front_door"]["uri"] == uri


@pytest.mark.parametrize("word", ["up", "down", "status"])
def test_help_shows_examples(word: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "calotype", word, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"calotype {word}" in done.stdout.split("Examples:")[1]
