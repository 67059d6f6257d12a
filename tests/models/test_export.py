"""Export: the ONNX file computes what the network does, for any number of images, and tells all."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from filelock import FileLock
from PIL import Image
from safetensors.torch import load_file
from small_networks import run, save_network
from torch import nn

from calotype import errors
from calotype.images.preprocess import Preprocessing
from calotype.models import image_model
from calotype.models.architectures import build
from calotype.models.export import check_exportable, check_parity, export, to_onnx
from calotype.models.image_model import Architecture, ImageModel, ModelDescription

SIZE = (24, 40)  # neither square nor that of the example that is exported with
NAME = "test_resnet"


def photograph(size: tuple[int, int]) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def description() -> ModelDescription:
    preprocessing = Preprocessing.of({"resize": 40, "crop_height": 24, "crop_width": 40})
    return ModelDescription(
        architecture=Architecture(name=NAME),
        classes=("a", "b", "c"),
        input_size=preprocessing.input_size,
        preprocessing=preprocessing,
    )


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(3)
    return build(NAME, classes=3).eval()


@pytest.fixture(scope="module")
def model(network: nn.Module, shared_folder: Path) -> ImageModel:
    out = shared_folder / "exported"
    with FileLock(f"{out}.lock"):
        if not out.exists():
            samples = [photograph((8, 8)), photograph((800, 600))]
            export(network, description(), out, samples=samples)
    return ImageModel.load(out)


@pytest.mark.parametrize("images", [1, 2, 5])
def test_any_number_of_images(network: nn.Module, model: ImageModel, images: int) -> None:
    batch = np.random.default_rng(images).normal(size=(images, 3, *SIZE)).astype(np.float32)
    got = run(model.file(image_model.ONNX), batch)
    with torch.inference_mode():
        expected = network(torch.from_numpy(batch)).numpy()
    assert got == pytest.approx(expected, abs=1e-4 * float(np.abs(expected).max()))
    assert got.shape == (images, 3)


def test_parity_is_measured(network: nn.Module, model: ImageModel) -> None:
    assert 0 <= check_parity(network, model.file(image_model.ONNX), input_size=SIZE) <= 1e-4


def test_the_file_stands_alone_and_its_opset_is_pinned(model: ImageModel) -> None:
    stored = onnx.load(model.file(image_model.ONNX), load_external_data=False)
    onnx.checker.check_model(stored)
    assert [(one.domain, one.version) for one in stored.opset_import] == [("", 18)]
    assert not any(one.HasField("data_location") for one in stored.graph.initializer)
    (shape,) = (one.type.tensor_type.shape.dim for one in stored.graph.input)
    assert shape[0].dim_param
    assert [side.dim_value for side in shape[1:]] == [3, *SIZE]


def test_the_file_does_not_tell_where_it_was_made(model: ImageModel) -> None:
    data = model.file(image_model.ONNX).read_bytes()
    for word in (b"stack_trace", b".py", b"site-packages", str(Path.cwd()).encode()):
        assert word not in data


def test_the_same_network_gives_the_same_file(
    network: nn.Module, model: ImageModel, tmp_path: Path
) -> None:
    to_onnx(network, tmp_path / "again.onnx", input_size=SIZE)
    assert (tmp_path / "again.onnx").read_bytes() == model.file(image_model.ONNX).read_bytes()


def test_the_folder_is_complete(network: nn.Module, model: ImageModel) -> None:
    assert model.description.files.keys() == {
        *("model.onnx", "weights.safetensors", "score.py", "_samples.json", "_schema.json"),
    }
    weights = load_file(model.file(image_model.WEIGHTS))
    state = network.state_dict()
    assert weights.keys() == state.keys()
    assert all(weights[name].equal(value) for name, value in state.items())
    again = build(NAME, classes=3)
    again.load_state_dict(weights)


def test_samples_are_small_files(model: ImageModel) -> None:
    small, large = json.loads(model.file("_samples.json").read_text())
    assert base64.b64decode(small["image"]) == photograph((8, 8))
    data = base64.b64decode(large["image"])
    assert len(data) < 64 << 10 < len(photograph((800, 600)))
    assert Image.open(io.BytesIO(data)).size == (256, 192)


def test_the_network_itself_is_left_alone(network: nn.Module) -> None:
    assert not network.training
    network.train()
    to = network.get_parameter("fc.weight").clone()
    with pytest.raises(errors.AlreadyExists):
        export(network, description(), Path(__file__))
    assert network.training
    assert network.get_parameter("fc.weight").equal(to)
    network.eval()


class TestBrokenExports:
    def test_another_network_is_noticed(self, network: nn.Module, tmp_path: Path) -> None:
        other = save_network(tmp_path / "other.onnx", shape=("images", 3, *SIZE))
        data = onnx.load(other)
        data.graph.input[0].name = data.graph.node[0].input[0] = "image"
        data.graph.node[0].output[0] = data.graph.node[1].input[0] = "same"
        onnx.save(data, other)
        with pytest.raises(errors.OperationFailed, match="agree with torch within 0") as caught:
            check_parity(network, other, input_size=SIZE)
        assert caught.value.number == 39

    def test_a_slight_change_of_one_weight_is_noticed(
        self, network: nn.Module, model: ImageModel, tmp_path: Path
    ) -> None:
        data = onnx.load(model.file(image_model.ONNX))
        bias = next(one for one in data.graph.initializer if one.name == "fc.bias")
        values = onnx.numpy_helper.to_array(bias).copy()
        values[0] += 1e-3 * max(1, np.abs(values).max())
        bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
        onnx.save(data, tmp_path / "changed.onnx")
        with pytest.raises(errors.OperationFailed, match="relative difference"):
            check_parity(network, tmp_path / "changed.onnx", input_size=SIZE)

    def test_not_a_number_is_no_agreement(self, model: ImageModel) -> None:
        broken = build(NAME, classes=3).eval()
        torch.nn.init.constant_(broken.get_parameter("fc.weight"), float("nan"))
        with pytest.raises(errors.OperationFailed, match="nan"):
            check_parity(broken, model.file(image_model.ONNX), input_size=SIZE)

    def test_a_network_that_cannot_be_exported_says_so(self, tmp_path: Path) -> None:
        class Unfriendly(nn.Module):
            def forward(self, images: torch.Tensor) -> torch.Tensor:
                """Branch on a value, which no graph holds."""
                return images if images.sum().item() > 0 else -images

        with pytest.raises(errors.OperationFailed, match="expected torch to export") as caught:
            check_exportable(Unfriendly(), input_size=SIZE)
        assert "architecture's name" in caught.value.action
        with pytest.raises(errors.OperationFailed):
            to_onnx(Unfriendly(), tmp_path / "x.onnx", input_size=SIZE)
        assert not (tmp_path / "x.onnx").exists()
