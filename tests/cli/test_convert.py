"""`calotype convert` from the user's chair."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calotype.images.image_directory import ImageDirectory

Picture = Callable[..., Path]


def calotype(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "calotype", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_the_table_tells_what_was_taken_and_what_was_not(
    photos: Path, tmp_path: Path, picture: Picture
) -> None:
    for number in range(30):
        picture(photos / f"class{number:02}" / "1.jpg")
    for number in range(5):
        (photos / "cats" / f"{number}.txt").touch()
    (photos / "cats/bad.jpg").write_text("no image")
    run = calotype("convert", photos, tmp_path / "out")
    assert run.returncode == 0
    assert run.stderr == ""
    lines = [line.split() for line in run.stdout.splitlines()]
    assert ["images", "35"] in lines
    assert ["categories", "32"] in lines
    assert ["cats", "3"] in lines
    assert ["class18", "1"] in lines
    assert ["class19", "1"] not in lines
    assert ["…", "12", "more"] in lines
    assert ["wrong", "extension", "5", "cats/0.txt,", "cats/1.txt,", "cats/2.txt"] in lines
    assert ["unreadable", "1", "cats/bad.jpg"] in lines
    others = [line for line in run.stdout.splitlines() if str(tmp_path) not in line]
    assert max(map(len, others)) <= 100  # paths stay whole


def test_json_is_one_document_and_nothing_else(photos: Path, tmp_path: Path) -> None:
    (photos / "01").mkdir()
    run = calotype("convert", photos, tmp_path / "out", "-o", "json")
    document = json.loads(run.stdout)
    assert document["path"] == str(tmp_path / "out")
    assert document["images"] == 5
    assert document["labeled"] is True
    assert document["categories"] == {"01": 0, "cats": 3, "dogs": 2}
    assert document["skipped"] == {}
    assert document["seconds"] > 0
    assert document["images_per_s"] > 0
    assert run.stderr == "Warning: no image in '01'; kept as a category.\n"


def test_every_option_reaches_the_conversion(
    photos: Path, tmp_path: Path, picture: Picture
) -> None:
    picture(photos / "cats/large.png", (200, 100))
    (photos / "dogs/same.jpg").write_bytes((photos / "dogs/1.jpg").read_bytes())
    run = calotype(
        *("convert", photos, tmp_path / "out", "--labels", "none", "--copy", "--digest"),
        *("--drop-duplicates", "--max-pixels", "10000", "--max-bytes", "100000", "-o", "json"),
    )
    document = json.loads(run.stdout)
    assert document["skipped"] == {"too large": 1, "duplicate": 1}
    assert document["labeled"] is False
    made = ImageDirectory.load(tmp_path / "out")
    assert made.info.source.kind == "copy"
    assert all(entry.digest for entry in made.entries())
    run = calotype("convert", photos, tmp_path / "2", "--on-error", "fail", "--max-bytes", "1")
    assert run.returncode == 1
    assert run.stderr.startswith("error 0127: cats/1.jpg: expected at most 1 bytes.")


def test_nothing_to_do_is_said(photos: Path, tmp_path: Path) -> None:
    calotype("convert", photos, tmp_path / "out")
    run = calotype("convert", photos, tmp_path / "out")
    assert run.returncode == 0
    assert "has not changed" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing", "out"], 1, "error 0018: "),
        (["photos/cats/1.jpg", "photos"], 1, "error 0057: "),
        (["photos", "photos/cats/1.jpg/out"], 1, "error 0046: "),
        (["photos", "out", "--labels", "some"], 2, "Usage: "),
        (["photos", "out", "--max-pixels", "0"], 2, "Usage: "),
        (["photos"], 2, "Usage: "),
    ],
)
def test_mistakes_are_one_clear_message(
    arguments: list[str], code: int, message: str, photos: Path
) -> None:
    run = calotype("convert", *arguments, cwd=photos.parent)
    assert run.returncode == code
    assert run.stderr.startswith(message)
    assert run.stdout == ""
    assert os.listdir(photos.parent) == ["photos"]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from calotype.cli.main import program\n"
        "try: program(['convert', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pyarrow', 'PIL', 'pydantic', 'rich'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "--drop-duplicates" in run.stdout
