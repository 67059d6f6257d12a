"""`calotype explain`, and what `calotype score` says about calibration and novelty."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import photographs
from calotype.models.image_model import ImageModel

PROGRAM = str(Path(sys.executable).with_name("calotype"))


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    return photographs.write(tmp_path, count=1, size=(160, 120))[0]


def test_it_writes_a_picture_and_one_document(
    imagenet_model: ImageModel, photograph: Path, tmp_path: Path
) -> None:
    out = tmp_path / "heat.png"
    where = ("--model", imagenet_model.path, "--image", photograph, "--out", out)
    done = run("-o", "json", "explain", *where, "--label", "espresso", "--method", "occlusion")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document.keys() == {"path", "label", "probability", "method"}
    assert (document["label"], document["method"]) == ("espresso", "occlusion")
    with Image.open(out) as heat:
        assert (heat.format, heat.size) == ("PNG", (160, 120))
    shown = run("explain", *where)
    assert shown.returncode == 0, shown.stderr
    assert "activation" in shown.stdout


def test_it_replaces_nothing_of_others(
    imagenet_model: ImageModel, photograph: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (3, 3)).save(tmp_path / "holiday.png")
    where = ("--model", imagenet_model.path, "--image", photograph)
    done = run("explain", *where, "--out", tmp_path / "holiday.png")
    assert done.returncode == 1
    assert done.stderr.startswith("error 0057: ")
    done = run("explain", *where, "--out", tmp_path / "heat.bmp")
    assert done.stderr.startswith("error 0002: ")
    assert not (tmp_path / "heat.bmp").exists()


def test_novelty_of_a_model_that_cannot_tell_is_one_line(
    imagenet_model: ImageModel, photograph: Path, tmp_path: Path
) -> None:
    where = ("--model", imagenet_model.path, "--images", photograph, "--out", tmp_path / "scored")
    done = run("score", *where, "--novelty")
    assert done.returncode == 1
    assert done.stderr.startswith("error 0162: ")
    assert run("score", *where, "--no-calibration").returncode == 0
