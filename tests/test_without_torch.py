"""Scoring and evaluating in an installation without the extra `train`.

`make test` makes that installation, `.venv-core`; without it these tests fail, they do not skip.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest

import photographs
from calotype.models.image_model import ImageModel
from calotype.scored_dataset import ScoredDataset
from calotype.scoring.score import score
from calotype.scoring.scorer import Scorer

CORE = Path(__file__).parent.parent / ".venv-core" / "bin"


def core(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    assert (CORE / "python").exists(), "run `make test`: it installs Calotype without torch"
    command = [CORE / arguments[0], *arguments[1:]]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("package", ["torch", "torchvision", "timm", "onnx", "openvino"])
def test_the_installation_has_none_of_the_extras(package: str) -> None:
    assert core("python", "-c", f"import {package}").returncode == 1


def test_it_converts_scores_and_evaluates_with_the_same_bits(
    imagenet_model: ImageModel, tmp_path: Path
) -> None:
    for category in ("left", "right"):
        photographs.write(tmp_path / "photos" / category, count=8, size=(320, 240))
    model = ("--model", imagenet_model.path)
    steps = [
        ("convert", tmp_path / "photos", tmp_path / "images"),
        ("split", tmp_path / "images", tmp_path / "a", tmp_path / "b", "--fraction", "0.5"),
        ("transformation", "init", tmp_path / "t"),
        ("score", *model, "--images", tmp_path / "images", "--out", tmp_path / "scored"),
        ("evaluate", tmp_path / "scored", "--out", tmp_path / "report"),
        ("model", "inspect", imagenet_model.path),
        ("module", "list"),
    ]
    for step in steps:
        done = core("calotype", *map(str, step))
        assert done.returncode == 0, done.stderr
    ours = score(Scorer(imagenet_model, "fp32"), tmp_path / "photos", tmp_path / "ours")
    expected = pa.Table.from_batches(ScoredDataset.load(ours.path).batches())
    got = pa.Table.from_batches(ScoredDataset.load(tmp_path / "scored").batches())
    assert got.equals(expected)
    assert (tmp_path / "report/report.html").is_file()


def test_it_explains_calibrates_and_measures_novelty(
    imagenet_model: ImageModel, tmp_path: Path
) -> None:
    photographs.write(tmp_path / "photos", count=12, size=(160, 120))
    shutil.copytree(imagenet_model.path, tmp_path / "model")
    code = (
        "from calotype import ImageDirectory, ImageModel\n"
        "from calotype.scoring.finish import finish\n"
        "with ImageDirectory.open('photos') as images:\n"
        "    model = finish(ImageModel.load('model'), images)\n"
        "model.with_description(temperature=2.0)"
    )
    model = ("--model", "model")
    steps = [
        ("python", "-c", code),
        ("calotype", "score", *model, "--images", "photos", "--out", "scored", "--novelty"),
        ("calotype", "explain", *model, "--image", "photos/00000.jpg", "--out", "heat.png"),
    ]
    for step in steps:
        done = core(*step, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    ours = Scorer(tmp_path / "model", "fp32", novelty=True)
    expected = pa.Table.from_batches(ours.score(tmp_path / "photos"))
    got = pa.Table.from_batches(ScoredDataset.load(tmp_path / "scored").batches())
    assert got.equals(expected)
    assert "Novelty" in got.column_names
    assert (tmp_path / "heat.png").read_bytes() == ours.explain(tmp_path / "photos/00000.jpg").png()


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--train", "a", "--validation", "b", "--out", "m"],
        ["score", "--model", "imagenet", "--images", "a", "--out", "o"],
        ["demo"],
    ],
)
def test_what_needs_an_extra_says_which(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = core("calotype", *command)
    assert done.returncode == 1
    assert done.stderr.startswith("error 2001: ")
    assert "pip install 'calotype[" in done.stderr


def test_bf16_says_that_it_needs_openvino(imagenet_model: ImageModel, tmp_path: Path) -> None:
    photographs.write(tmp_path / "photos", count=1, size=(64, 64))
    where = ["--images", str(tmp_path / "photos"), "--out", str(tmp_path / "out")]
    done = core(
        "calotype", "score", "--model", str(imagenet_model.path), "--precision", "bf16", *where
    )
    assert done.stderr.startswith("error 2001: ")
    assert "calotype[openvino]" in done.stderr
