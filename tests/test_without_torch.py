"""Scoring, evaluating and serving in an installation without the extra `train`.

`make test` makes that installation, `.venv-core`; without it these tests fail, they do not skip.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
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


def ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what a service prints when it is ready."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            return json.loads(text)
    raise AssertionError(f"it ended with {process.wait()}")


@contextmanager
def served(folder: Path, *arguments: object) -> Generator[str]:
    """Serve in the installation without torch; give the scoring URI."""
    command = [CORE / "calotype", "-o", "json", "serve", "--port", "0", *map(str, arguments)]
    with (
        (folder / "log.jsonl").open("wb") as log,
        subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            yield ready(process)["scoring_uri"]
        finally:
            process.terminate()
            assert process.wait(60) == 0, (folder / "log.jsonl").read_text()


def answer_of(uri: str, body: bytes, content_type: str) -> Any:
    request = urllib.request.Request(uri, body, {"Content-Type": content_type})  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - as above
        return json.load(response)


def test_it_serves_images_with_the_same_bits(imagenet_model: ImageModel, tmp_path: Path) -> None:
    photographs.write(tmp_path / "photos", count=1, size=(320, 240))
    photo = next((tmp_path / "photos").iterdir())
    expected = Scorer(imagenet_model, "fp32").predict(photo)
    options = ("--model", imagenet_model.path, "--precision", "fp32")
    with served(tmp_path, *options) as uri:
        got = answer_of(uri, photo.read_bytes(), "image/jpeg")
    probabilities = [got["Scored Probabilities"][name] for name in expected.classes]
    assert got["Scored Labels"] == expected.labels[0]
    assert np.array(probabilities, np.float32).tobytes() == expected.probabilities[0].tobytes()


def test_it_serves_an_entry_script(tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text(
        "import json\n"
        "from azureml.core import Dataset, Model, Run, Workspace\n"
        "from azureml.core.webservice import AciWebservice\n"
        "def run(raw_data): return sum(json.loads(raw_data)['data'])\n"
    )
    with served(tmp_path, "--entry-script", script) as uri:
        assert answer_of(uri, b'{"data": [1, 2.5]}', "application/json") == 3.5


def test_a_scikit_learn_model_says_which_extra_it_needs(tmp_path: Path) -> None:
    (tmp_path / "model.skops").touch()
    done = core("calotype", "serve", "--model", "model.skops", folder=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error 2001: ")
    assert "pip install 'calotype[sklearn]'" in line
