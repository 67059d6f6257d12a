"""`calotype model register` and its company from the user's chair."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_networks import save_model

from calotype.cli.main import main
from calotype.images.transformation import Transformation
from calotype.models.image_model import ImageModel
from calotype.workspace.workspace import Workspace

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def calotype(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Give a function that runs the program in a workspace and returns exit code and streams."""
    Workspace.create("tests", tmp_path / "place").close()
    monkeypatch.setenv("CALOTYPE_WORKSPACE", str(tmp_path / "place"))

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["calotype", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        written = capsys.readouterr()
        return int(end.value.code or 0), written.out, written.err

    return call


def document(calotype: Call, *arguments: str | Path) -> Any:
    """Run a command and return what it printed as JSON."""
    code, out, err = calotype("-o", "json", *arguments)
    assert code == 0, err
    return json.loads(out)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make a model of one file."""
    path = tmp_path / "mnist.pkl"
    path.write_bytes(b"weights")
    return path


def test_register_as_the_retired_program_did(calotype: Call, file: Path, tmp_path: Path) -> None:
    made = document(
        calotype,
        *("model", "register", "-n", "mnist", "--model-path", file, "--tag", "area=mnist"),
        *("--property", "rows=42", "--description", "digits", "--model-framework", "ScikitLearn"),
        *("--model-framework-version", "1.5", "--run-id", "run7"),
        *("--output-metadata-file", tmp_path / "meta.json"),
    )
    assert made["id"] == "mnist:1"
    assert (made["tags"], made["properties"]) == ({"area": "mnist"}, {"rows": "42"})
    assert (made["framework"], made["framework_version"]) == ("ScikitLearn", "1.5")
    metadata = json.loads((tmp_path / "meta.json").read_text())
    assert (metadata["modelId"], metadata["workspaceName"]) == ("mnist:1", "tests")


def test_list_filters(calotype: Call, file: Path) -> None:
    for tag in ("area=mnist", "area=cars"):
        calotype("model", "register", "-n", "m", "-p", file, "--tag", tag)

    def ids(*filters: str) -> list[str]:
        return [one["id"] for one in document(calotype, "model", "list", *filters)]

    assert ids() == ["m:2", "m:1"]
    assert ids("--latest") == ["m:2"]
    assert ids("--tag", "area=mnist") == ["m:1"]
    assert ids("--tag", "area", "-n", "m") == ["m:2", "m:1"]
    assert ids("--model-framework", "Onnx") == []
    assert "area=cars" in calotype("model", "list")[1]


def test_show_update_download_delete(calotype: Call, file: Path, tmp_path: Path) -> None:
    calotype("model", "register", "-n", "m", "--asset-path", file, "--tag", "a=1")
    changed = document(
        calotype, *("model", "update", "m", "--add-tag", "b=2", "--remove-tag", "a"), "-d", "text"
    )
    assert (changed["tags"], changed["description"]) == ({"b": "2"}, "text")
    code, _, err = calotype("model", "update", "m")
    assert (code, err[:11], "expected something to change" in err) == (1, "error 0003:", True)
    assert document(calotype, "model", "show", "-n", "m:1")["services"] == []
    assert "text" in calotype("model", "show", "m")[1]
    code, _, err = calotype("model", "update", "-n", "m")
    assert code == 1
    assert "update of model 'm:1': expected something to change" in err
    written = document(calotype, "model", "download", "m", "-t", tmp_path / "out")
    assert Path(written["path"]).read_bytes() == b"weights"
    code, _, err = calotype("model", "download", "m", "-t", tmp_path / "out")
    assert (code, err[:11]) == (1, "error 0057:")
    assert document(calotype, "model", "delete", "-i", "m:1") == {"id": "m:1", "deleted": True}
    code, _, err = calotype("model", "show", "m")
    assert (code, err[:11]) == (1, "error 2004:")
    assert calotype("model", "show")[0] == 2
    assert calotype("model", "show", "m", "-n", "m")[0] == 2


class TestNamesInsteadOfPaths:
    @pytest.fixture(autouse=True)
    def registered(self, calotype: Call, tmp_path: Path) -> None:
        """Register two versions of a small image model."""
        for classes in (("cats", "dogs"), ("cats", "dogs", "owls")):
            made = save_model(tmp_path / "model", classes=classes)
            calotype("model", "register", "-n", "net", "-p", made.path)

    def test_inspect(self, calotype: Call) -> None:
        assert document(calotype, "model", "inspect", "net")["classes"] == ["cats", "dogs", "owls"]
        assert document(calotype, "model", "inspect", "net:1")["classes"] == ["cats", "dogs"]
        assert document(calotype, "model", "inspect", "model:net:1")["classes"] == ["cats", "dogs"]

    def test_explain(self, calotype: Call, photos: Path, tmp_path: Path) -> None:
        image = photos / "cats" / "1.jpg"
        made = document(
            calotype, *("explain", "--model", "net", "--image", image), "--out", tmp_path / "h.png"
        )
        assert made["label"] in ("cats", "dogs", "owls")

    def test_serve(self, calotype: Call, tmp_path: Path) -> None:
        code, out, err = calotype(
            *("-o", "json", "serve", "--model", "net:1", "--port", "0", "--check"),
            "--no-access-log",
        )
        assert code == 0, err
        assert '"name"' in out

    def test_an_unknown_name(self, calotype: Call, tmp_path: Path) -> None:
        for command in (("model", "inspect", "nett"), ("serve", "--model", "nett")):
            code, _, err = calotype(*command)
            assert code == 1
            assert err.startswith("error 0159: nett: ")
            assert "Did you mean 'net'?" in err
        code, _, err = calotype("model", "inspect", "unlike")
        assert (code, err[:11]) == (1, "error 0159:")


@pytest.mark.slow
def test_what_is_trained_and_optimized_becomes_a_version(
    calotype: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faster(*_: object) -> tuple[float, float]:
        return 100.0, 200.0

    # So small a network gains nothing from int8, which would be refused for that.
    monkeypatch.setattr("calotype.scoring.agreement.speeds", faster)
    Transformation.of({"size": 36, "crop_size": 32}).save(tmp_path / "transformation")
    random = np.random.default_rng(0)
    for name, low in (("bright", 128), ("dark", 0)):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for number in range(8):
            pixels = random.integers(low, low + 128, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    calotype("dataset", "register", "images", tmp_path / "images")
    trained = document(
        calotype,
        *("train", "--train", "images", "--validation", "dataset:images:1"),
        *("--out", tmp_path / "model", "--pretrained", "none"),
        *("--epochs", "1", "--register", "net"),
        *("--architecture", "test_resnet", "--transformation", tmp_path / "transformation"),
    )
    assert trained["registered"] == "net:1"
    calotype("model", "update", "net", "--add-tag", "area=light")
    before = ImageModel.load(tmp_path / "model").digest
    made = document(
        calotype,
        *("model", "optimize", "net", "--calibration", "images", "--max-accuracy-drop", "1"),
    )
    assert made["registered"] == "net:2"
    shown = document(calotype, "model", "show", "net")
    assert (shown["tags"], shown["properties"]["optimized_from"]) == ({"area": "light"}, "net:1")
    assert "model.int8.onnx" in document(calotype, "model", "inspect", "net:2")["files"]
    assert "model.int8.onnx" not in document(calotype, "model", "inspect", "net:1")["files"]
    assert ImageModel.load(tmp_path / "model").digest == before


def test_only_image_models_are_optimized(calotype: Call, file: Path, photos: Path) -> None:
    calotype("model", "register", "-n", "m", "-p", file)
    code, _, err = calotype("model", "optimize", "m", "--calibration", photos)
    assert (code, err[:11]) == (1, "error 0159:")


def test_the_ready_model_is_registered_by_its_name(
    calotype: Call, imagenet_model: ImageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALOTYPE_CACHE", str(imagenet_model.path.parents[1]))
    made = document(calotype, "model", "register", "-n", "things", "-p", "imagenet")
    assert made["details"]["image_model"]["digest"] == imagenet_model.digest


def test_a_script_finds_a_registered_folder_as_it_was_given(calotype: Call, tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "factor.txt").write_text("3")
    calotype("model", "register", "-n", "factor", "-p", tmp_path / "outputs")
    script = tmp_path / "code" / "score.py"
    script.parent.mkdir()
    script.write_text(
        "import os\n"
        "def init():\n"
        "    with open(os.environ['AZUREML_MODEL_DIR'] + '/outputs/factor.txt') as file:\n"
        "        assert file.read() == '3'\n"
        "def run(data):\n"
        "    return 1\n"
    )
    code, _, err = calotype(
        *("serve", "--entry-script", script, "--model-dir", "factor:1", "--port", "0", "--check"),
        "--no-access-log",
    )
    assert code == 0, err
