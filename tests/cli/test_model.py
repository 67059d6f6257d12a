"""`calotype model` from the user's chair."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from calotype.cli.main import main
from calotype.models.architectures import build
from calotype.models.image_model import Agreement, ImageModel

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
def network(imagenet_model: ImageModel, tmp_path: Path) -> tuple[Path, Path]:
    """Somebody's ONNX file of 1,000 classes, and the file with their names."""
    file, names = tmp_path / "net.onnx", tmp_path / "names.txt"
    shutil.copy(imagenet_model.file("model.onnx"), file)
    names.write_text("\n".join(imagenet_model.classes) + "\n", encoding="utf-8")
    return file, names


class TestImport:
    def test_an_onnx_file_becomes_a_model(
        self, calotype: Call, network: tuple[Path, Path], tmp_path: Path
    ) -> None:
        file, names = network
        out = tmp_path / "model"
        mean, std = ["--mean", *["0.498"] * 3], ["--std", *["0.502"] * 3]
        code, stdout, _ = calotype(
            *("model", "import", file, "--classes", names, "--out", out, *mean, *std),
            *("--resize", "240", "--channel-order", "BGR", "--network-output", "logits"),
        )
        assert code == 0
        assert "1,000: tench, goldfish, great white shark" in stdout
        model = ImageModel.load(out)
        assert model.preprocessing.resize == 240
        assert model.preprocessing.mean == (0.498,) * 3
        assert model.preprocessing.std == (0.502,) * 3
        assert model.preprocessing.channel_order == "BGR"
        assert model.description.output == "logits"

    def test_a_state_dictionary_becomes_a_model(self, calotype: Call, tmp_path: Path) -> None:
        torch.save(build("test_efficientnet", classes=2).state_dict(), tmp_path / "w.pth")
        (tmp_path / "names.json").write_text('["01", "é漢字"]')
        code, stdout, stderr = calotype(
            *("model", "import", tmp_path / "w.pth", "--classes", tmp_path / "names.json"),
            *("--architecture", "test_efficientnet", "--input-size", "32", "48"),
            *("--out", tmp_path / "model", "-o", "json"),
        )
        assert code == 0
        assert stderr == "exporting the network to ONNX\n"
        document = json.loads(stdout)
        assert document["classes"] == ["01", "é漢字"]
        assert document["input_size"] == [32, 48]
        assert document["path"] == str(tmp_path / "model")
        assert document["digest"] == ImageModel.load(tmp_path / "model").digest

    @pytest.mark.parametrize(
        ("names", "more", "line"),
        [
            ("a\nb\n", [], "error 0159: "),
            ("a\na\n", [], "error 0049: "),
            ("a\nb\n", ["--channel-order", "GRB"], "Usage: "),
            ("a\nb\n", ["--resize", "0"], "error 0005: parameter 'resize'"),
        ],
    )
    def test_mistakes_are_one_line(
        self,
        calotype: Call,
        network: tuple[Path, Path],
        tmp_path: Path,
        names: str,
        more: list[str],
        line: str,
    ) -> None:
        network[1].write_text(names)
        code, stdout, stderr = calotype(
            *("model", "import", network[0], "--classes", network[1]),
            *("--out", tmp_path / "model", *more),
        )
        assert code == (2 if line == "Usage: " else 1)
        assert stdout == ""
        assert stderr.startswith(line)
        assert not (tmp_path / "model").exists()

    def test_class_names_are_asked_for(self, calotype: Call, tmp_path: Path) -> None:
        code, _, stderr = calotype("model", "import", tmp_path / "n.onnx", "--out", "m")
        assert code == 2
        assert "--classes" in stderr

    def test_a_folder_needs_no_class_names(self, calotype: Call, tmp_path: Path) -> None:
        (tmp_path / "model_spec.yaml").write_text("flavor: {name: pytorch}\n")
        code, _, stderr = calotype("model", "import", tmp_path, "--out", tmp_path / "out")
        assert code == 1
        assert stderr.startswith(f"error 0159: {tmp_path}: ")
        assert "an untrained model of the retired designer" in stderr


class TestInspect:
    def test_it_says_what_the_model_is(self, calotype: Call, imagenet_model: ImageModel) -> None:
        code, stdout, stderr = calotype("model", "inspect", imagenet_model.path)
        assert (code, stderr) == (0, "")
        lines = {line.split()[0]: line for line in stdout.splitlines() if line.strip()}
        assert "efficientnet_lite0" in lines["architecture"]
        assert "224 x 224 pixels" in lines["input"]
        assert "… 988" in stdout
        assert imagenet_model.digest in stdout
        whole = (
            str(imagenet_model.path),
            imagenet_model.digest,
        )  # words that nobody could copy broken
        others = [line for line in stdout.splitlines() if not any(word in line for word in whole)]
        assert max(map(len, others)) <= 100

    def test_json_is_the_description(self, calotype: Call, imagenet_model: ImageModel) -> None:
        _, stdout, _ = calotype("model", "inspect", imagenet_model.path, "-o", "json")
        document = json.loads(stdout)
        assert document["digest"] == imagenet_model.digest
        assert document["files"] == imagenet_model.description.files

    def test_layers_that_stayed_in_fp32_are_named(
        self, calotype: Call, imagenet_model: ImageModel, tmp_path: Path
    ) -> None:
        folder = shutil.copytree(imagenet_model.path, tmp_path / "copy")
        measured = Agreement(
            images=50, label_agreement=0.98, layers=50, kept_layers=("stem", "block 3")
        )
        ImageModel.load(folder).with_description(precisions={"openvino:int8": measured})
        _, stdout, _ = calotype("model", "inspect", folder)
        assert "openvino:int8 keeps 2 of 50 layers in fp32: stem, block 3" in stdout

    def test_a_changed_file_is_found(
        self, calotype: Call, imagenet_model: ImageModel, tmp_path: Path
    ) -> None:
        folder = shutil.copytree(imagenet_model.path, tmp_path / "copy")
        with (folder / "score.py").open("a") as script:
            script.write("# one more line\n")
        code, stdout, stderr = calotype("model", "inspect", folder)
        assert (code, stdout) == (1, "")
        assert stderr.startswith(f"error 0082: {folder / 'score.py'}: ")

    def test_something_else_is_refused(self, calotype: Call, tmp_path: Path) -> None:
        code, _, stderr = calotype("model", "inspect", tmp_path)
        assert code == 1
        assert stderr.startswith("error 0159: ")


class TestOptimize:
    @pytest.mark.slow
    def test_what_is_not_worth_it_is_refused_and_changes_nothing(
        self,
        calotype: Call,
        imagenet_model: ImageModel,
        photos: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Five even colours: int8 sees them as fp32 does only where it is half of the network."""

        def equal(*_: object) -> tuple[float, float]:
            return 100.0, 100.0

        monkeypatch.setattr("calotype.scoring.agreement.speeds", equal)
        folder = shutil.copytree(imagenet_model.path, tmp_path / "copy")
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        code, stdout, stderr = calotype(
            *("model", "optimize", folder, "--calibration", photos, "--max-accuracy-drop", "0"),
        )
        assert (code, stdout) == (1, "")
        last = stderr.splitlines()[-1]
        assert last.startswith("error 0039: int8: expected int8 to ")
        assert "of 50 layers in fp32" in last
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    def test_an_impossible_drop_is_refused(
        self, calotype: Call, imagenet_model: ImageModel, photos: Path
    ) -> None:
        code, _, stderr = calotype(
            *("model", "optimize", imagenet_model.path, "--calibration", photos),
            *("--max-accuracy-drop", "2"),
        )
        assert code == 1
        assert stderr.startswith("error 0008: parameter 'max_accuracy_drop'")
