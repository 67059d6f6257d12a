"""`calotype train` from the user's chair."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calotype.cli.main import main
from calotype.images.transformation import Transformation
from calotype.models.image_model import ImageModel

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def calotype(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Give a function that runs the program and returns its exit code and both streams."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["calotype", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        written = capsys.readouterr()
        return int(end.value.code or 0), written.out, written.err

    return call


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Make class folders of bright and dark noise, eight of each."""
    random = np.random.default_rng(0)
    for name, low in (("bright", 128), ("dark", 0)):
        folder = tmp_path / "photographs" / name
        folder.mkdir(parents=True)
        for index in range(8):
            pixels = random.integers(low, low + 128, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "photographs"


def sets(folder: Path) -> tuple[str | Path, ...]:
    return ("train", "--train", folder, "--validation", folder)


def test_folders_of_photographs_become_a_model(
    calotype: Call, photographs: Path, tmp_path: Path
) -> None:
    Transformation.of({"size": 36, "crop_size": 32}).save(tmp_path / "transformation")
    out = tmp_path / "model"
    code, stdout, stderr = calotype(
        *(*sets(photographs), "--out", out, "--transformation", tmp_path / "transformation"),
        *("--architecture", "test_efficientnet", "--pretrained", "none", "--epochs", "2"),
        *("--batch-size", "4", "--learning-rate", "0.02", "--seed", "7", "--patience", "9"),
    )
    assert code == 0, stderr
    model = ImageModel.load(out)
    assert model.classes == ("bright", "dark")
    assert model.input_size == (32, 32)
    training = model.description.training
    chosen = {"epochs": 2, "batch_size": 4, "learning_rate": 0.02, "random_seed": 7, "patience": 9}
    assert chosen.items() <= training.items()
    rows = [line.split() for line in stdout.splitlines()]
    assert [row[0] for row in rows if row and row[0] in ("1", "2")] == ["1", "2"]
    assert sum(row[-1:] == ["kept"] for row in rows) == 1
    assert ["started", "from", "random", "weights"] in rows
    assert "epoch 2: loss " in stderr

    code, stdout, stderr = calotype("model", "inspect", out)
    assert code == 0
    assert "bright, dark" in stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--epochs", "0"], "error 0004: parameter 'epochs': must be greater than 0. Got '0'."),
        (["--epochs", "many"], "error 0002: parameter 'epochs'"),
        (["--learning-rate", "-1"], "error 0004: parameter 'learning_rate'"),
        (["--learning-rate", "inf"], "error 0002: parameter 'learning_rate'"),
        (["--batch-size", "17"], "error 0007: parameter 'batch_size': must be at most 16"),
        (["--seed", "-1"], "error 0005: parameter 'random_seed'"),
        (["--architecture", "resnet81"], "error 0002: parameter 'architecture'"),
        (["--pretrained", "/nothing"], "error 0162: expected weights for 'resnet18'"),
        (["--transformation", "/nothing"], "error 0158: /nothing"),
    ],
)
def test_mistakes_are_one_line(
    calotype: Call, photographs: Path, tmp_path: Path, arguments: list[str], line: str
) -> None:
    code, stdout, stderr = calotype(*sets(photographs), "--out", tmp_path / "model", *arguments)
    assert (code, stdout) == (1, "")
    assert stderr.splitlines()[-1].startswith(line)
    assert not (tmp_path / "model").exists()


def test_photographs_without_categories_are_refused(
    calotype: Call, photographs: Path, tmp_path: Path
) -> None:
    code, _, stderr = calotype(*sets(photographs / "dark"), "--out", tmp_path / "model")
    assert code == 1
    assert stderr.startswith("error 0024: training images")


def test_a_taken_place_is_refused_before_the_work(calotype: Call, photographs: Path) -> None:
    code, _, stderr = calotype(*sets(photographs), "--out", photographs)
    assert code == 1
    assert stderr.startswith(f"error 0057: {photographs}: ")
    assert "epoch" not in stderr


def test_json_is_one_document(calotype: Call, photographs: Path, tmp_path: Path) -> None:
    Transformation.of({"size": 32, "crop_size": 32}).save(tmp_path / "t")
    code, stdout, _ = calotype(
        *(*sets(photographs), "--out", tmp_path / "model", "--transformation", tmp_path / "t"),
        *("--pretrained", "none", "--epochs", "1", "-o", "json", "-q"),
    )
    assert code == 0
    document = json.loads(stdout)
    assert document["path"] == str(tmp_path / "model")
    assert document["architecture"]["name"] == "resnet18"
    assert len(document["training"]["epoch_metrics"]) == 1
