"""`calotype split` from the user's chair."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory


def calotype(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "calotype", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture
def images(photos: Path, tmp_path: Path) -> Path:
    convert(photos, tmp_path / "images")
    return tmp_path


def test_the_table_shows_both_sides(images: Path) -> None:
    run = calotype("split", "images", "a", "b", "--fraction", "0.6", cwd=images)
    assert run.returncode == 0
    assert run.stderr == ""
    lines = [line.split() for line in run.stdout.splitlines()]
    assert ["output", "1", "a", "(3", "images)"] in lines
    assert ["cats", "2", "1"] in lines
    assert ["dogs", "1", "1"] in lines
    assert len(ImageDirectory.load(images / "b")) == 2


def test_json_has_exact_counts(images: Path) -> None:
    options = ["--fraction", "0.6", "--seed", "3", "-o", "json"]
    run = calotype("split", "images", "a", "b", *options, cwd=images)
    assert json.loads(run.stdout) == {
        "fraction": 0.6,
        "seed": 3,
        "outputs": [
            {"path": "a", "images": 3, "categories": {"cats": 2, "dogs": 1}},
            {"path": "b", "images": 2, "categories": {"cats": 1, "dogs": 1}},
        ],
    }


def test_no_stratify_reaches_the_split(images: Path) -> None:
    run = calotype("split", "images", "a", "b", "--no-stratify", "-o", "json", cwd=images)
    assert run.returncode == 0
    origin = ImageDirectory.load(images / "a").info.origin
    assert origin.options["stratify"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["images", "a", "b", "--fraction", "1"], 1, "error 0008: "),
        (["images", "a", "b", "--seed", "-1"], 1, "error 0005: "),
        (["images", "a", "a"], 1, "error 0057: "),
        (["images", "a", "photos"], 1, "error 0057: "),
        (["photos", "a", "b"], 1, "error 0018: "),
        (["images", "a", "b", "--fraction", "half"], 2, "Usage: "),
    ],
)
def test_mistakes_are_one_clear_message(
    arguments: list[str], code: int, message: str, images: Path
) -> None:
    run = calotype("split", *arguments, cwd=images)
    assert run.returncode == code
    assert run.stderr.startswith(message)
    assert not (images / "a").exists()
