"""int8: it agrees with fp32 on what it was made for, keeps what suffers, or is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import onnx
import pytest
from known_photographs import IMAGENET
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from small_networks import SIDE, description, run, save_model

from calotype import errors
from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Preprocessor
from calotype.models import image_model
from calotype.models.image_model import INT8_ONNX, ImageModel
from calotype.models.quantize import Quantizer, quantize
from calotype.scoring import agreement
from calotype.scoring.optimize import add_int8


def inputs(model: ImageModel, paths: list[Path]) -> Iterator[NDArray[np.float32]]:
    preprocessor = Preprocessor(model.preprocessing)
    for path in paths:
        batch = np.empty(model.preprocessing.input_shape(1), np.float32)
        preprocessor.load(path.read_bytes(), batch[0])
        yield batch


def logits(file: Path, batches: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return run(file, np.concatenate(batches))


def test_it_names_photographs_as_fp32_does(imagenet_model: ImageModel, tmp_path: Path) -> None:
    fp32, int8 = imagenet_model.file("model.onnx"), tmp_path / "int8.onnx"
    quantize(fp32, int8, input_name="image", images=inputs(imagenet_model, IMAGENET))
    batches = list(inputs(imagenet_model, IMAGENET))
    expected, got = logits(fp32, batches), logits(int8, batches)
    assert (got.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.75
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.95
    assert not np.array_equal(got, expected)
    assert int8.stat().st_size < 0.4 * fp32.stat().st_size
    operators = {node.op_type for node in onnx.load(int8).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators


def colors(folder: Path, count: int = 60) -> AbstractContextManager[ImageDirectory]:
    """Write and open pictures of one random colour each."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for index in range(count):
        pixels = np.full((SIDE, SIDE, 3), random.integers(0, 256, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    return ImageDirectory.open(folder)


def test_a_model_that_int8_makes_worse_stays_as_it_was(tmp_path: Path) -> None:
    """Three classes that differ by less than eight bits can say."""
    nearly = np.array([[1.0, 1.0 + 1e-4, 1.0 - 1e-4]] * 3, np.float32)
    nearly[0] = nearly[0, ::-1]
    model = save_model(tmp_path / "model", weights=nearly)
    before = {path.name: path.read_bytes() for path in model.path.iterdir()}
    with (
        colors(tmp_path / "images") as images,
        pytest.raises(errors.OperationFailed, match="expected int8 to lose at most 1"),
    ):
        add_int8(model, images, max_accuracy_drop=0.01)
    assert {path.name: path.read_bytes() for path in model.path.iterdir()} == before


class TestSensitiveLayers:
    """Four convolutions; the second has weights of 1,000 for a channel that is always zero.

    Beside those its other weights are too small for eight bits, and nothing gets through.
    """

    @pytest.fixture
    def network(self, tmp_path: Path) -> Path:
        random = np.random.default_rng(1)
        weights = [
            random.normal(0, 1, shape).astype(np.float32)
            for shape in ((4, 3, 1, 1), (4, 4, 1, 1), (4, 4, 1, 1), (3, 4, 1, 1))
        ]
        weights[1][:, 3] = 1000
        never = np.array([0, 0, 0, -100], np.float32)  # nothing of channel 3 passes the first Relu
        nodes: list[onnx.NodeProto] = []
        tensor = "pixels"
        for index in range(4):
            output = f"layer {index}"
            inputs = [tensor, f"w{index}", *(["never"] if index == 0 else [])]
            nodes.append(helper.make_node("Conv", inputs, [output], name=output))
            nodes.append(helper.make_node("Relu", [output], [f"relu {index}"]))
            tensor = output if index == 3 else f"relu {index}"
        nodes.pop()
        nodes.append(helper.make_node("ReduceMean", [tensor, "sides"], ["scores"], keepdims=0))
        shape = ["images", 3, SIDE, SIDE]
        graph = helper.make_graph(
            nodes,
            "four convolutions",
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["images", 3])],
            [
                numpy_helper.from_array(never, "never"),
                numpy_helper.from_array(np.array([2, 3]), "sides"),
                *(numpy_helper.from_array(one, f"w{index}") for index, one in enumerate(weights)),
            ],
        )
        opsets = [helper.make_opsetid("", 18)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "net")
        return tmp_path / "net"

    @pytest.fixture
    def model(self, network: Path, tmp_path: Path) -> ImageModel:
        return image_model.save(tmp_path / "model", description(), {image_model.ONNX: network})

    @pytest.fixture
    def images(self, tmp_path: Path) -> Iterator[ImageDirectory]:
        with colors(tmp_path / "images") as directory:
            yield directory

    @pytest.fixture
    def quantizer(self, network: Path) -> Quantizer:
        return Quantizer(network, input_name="pixels", images=self.noise(20))

    @staticmethod
    def noise(count: int) -> list[NDArray[np.float32]]:
        random = np.random.default_rng(2)
        return [random.normal(size=(1, 3, SIDE, SIDE)).astype(np.float32) for _ in range(count)]

    def test_a_layer_that_suffers_is_found(self, quantizer: Quantizer) -> None:
        assert quantizer.layers == ("layer 0", "layer 1", "layer 2", "layer 3")
        order = quantizer.by_sensitivity()
        assert order[0] == "layer 1"
        assert sorted(order) == sorted(quantizer.layers)

    def test_kept_layers_compute_as_in_fp32(
        self, quantizer: Quantizer, network: Path, tmp_path: Path
    ) -> None:
        batches = self.noise(5)
        expected, spread = logits(network, batches), float(np.std(logits(network, batches)))
        differences: list[float] = []
        for number, keep in enumerate(((), ("layer 1",), quantizer.layers)):
            int8 = tmp_path / f"{number}.onnx"
            quantizer.write(int8, keep=keep)
            differences.append(float(np.abs(logits(int8, batches) - expected).max()) / spread)
        assert differences[0] > 1
        assert 0 < differences[1] < 0.2
        assert differences[2] < 1e-5

    @pytest.mark.parametrize("speedup", [2.0, 1.0])
    def test_a_model_keeps_as_few_layers_as_it_must(
        self,
        model: ImageModel,
        images: ImageDirectory,
        speedup: float,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def speeds(*_: object) -> tuple[float, float]:
            return 100.0, 100.0 * speedup

        monkeypatch.setattr(agreement, "speeds", speeds)
        if speedup == 1.0:
            said = r"faster than fp32 .* Got 100\.0 images/s after 100\.0 .* 1 of 4 layers in fp32"
            with pytest.raises(errors.OperationFailed, match=said):
                add_int8(model, images, max_accuracy_drop=0.1)
            assert not ImageModel.load(model.path).has(INT8_ONNX)
            return
        optimized = add_int8(model, images, max_accuracy_drop=0.1)
        (measured,) = optimized.description.precisions.values()
        assert (measured.layers, measured.kept_layers) == (4, ("layer 1",))
        assert measured.label_agreement >= 0.9
        assert (measured.fp32_images_per_s, measured.images_per_s) == (100, 200)
        assert measured.images == 30  # the others of the 60 gave the ranges
        optimized.verify()

    def test_the_best_try_is_in_the_refusal(
        self, model: ImageModel, images: ImageDirectory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With fp32 said to be what nobody finds, no try is good enough."""

        def nobody(*_: object) -> float:
            return 0.25

        monkeypatch.setattr("calotype.scoring.optimize._drop", nobody)
        with pytest.raises(errors.OperationFailed, match=r"at best \d+\.\d\d% of 30 images"):
            add_int8(model, images, max_accuracy_drop=0.2)
        assert not ImageModel.load(model.path).has(INT8_ONNX)


def test_few_images_serve_for_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def speeds(*_: object) -> tuple[float, float]:
        return 1.0, 2.0

    monkeypatch.setattr(agreement, "speeds", speeds)
    model = save_model(tmp_path / "model")
    with colors(tmp_path / "images", 9) as images:
        optimized = add_int8(model, images, max_accuracy_drop=1.0)
    (measured,) = optimized.description.precisions.values()
    assert (measured.images, measured.kept_layers) == (9, ())


def test_without_an_image_it_is_refused(imagenet_model: ImageModel, tmp_path: Path) -> None:
    with pytest.raises(errors.TooFewRows, match="images to calibrate") as caught:
        quantize(
            imagenet_model.file("model.onnx"), tmp_path / "x.onnx", input_name="image", images=[]
        )
    assert caught.value.number == 21
    assert not (tmp_path / "x.onnx").exists()


def test_a_network_that_it_cannot_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    with pytest.raises(errors.OperationFailed, match=r"broken\.onnx: expected a network"):
        quantize(
            tmp_path / "broken.onnx",
            tmp_path / "x.onnx",
            input_name="image",
            images=[np.zeros((1, 3, 8, 8), np.float32)],
        )


def test_an_unreadable_image_is_said_to_be_one(imagenet_model: ImageModel, tmp_path: Path) -> None:
    def broken() -> Iterator[NDArray[np.float32]]:
        yield np.zeros((1, 3, 224, 224), np.float32)
        raise errors.UnreadableFile("expected an image")

    with pytest.raises(errors.UnreadableFile):
        quantize(
            imagenet_model.file("model.onnx"),
            tmp_path / "x.onnx",
            input_name="image",
            images=broken(),
        )


def test_without_onnx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: str) -> None: ...

    monkeypatch.setattr("importlib.util.find_spec", nothing)
    with pytest.raises(errors.MissingDependency, match=r"calotype\[train\]"):
        quantize(tmp_path / "x", tmp_path / "y", input_name="image", images=[])
