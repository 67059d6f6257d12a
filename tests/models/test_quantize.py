"""int8: it agrees with fp32 on what it was made for, and is refused where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from known_photographs import IMAGENET
from numpy.typing import NDArray
from PIL import Image
from small_networks import SIDE, run, save_model

from calotype import errors
from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Preprocessor
from calotype.models.image_model import ImageModel
from calotype.models.quantize import quantize
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


def test_a_model_that_int8_makes_worse_stays_as_it_was(tmp_path: Path) -> None:
    """Three classes that differ by less than eight bits can say."""
    nearly = np.array([[1.0, 1.0 + 1e-4, 1.0 - 1e-4]] * 3, np.float32)
    nearly[0] = nearly[0, ::-1]
    model = save_model(tmp_path / "model", weights=nearly)
    random = np.random.default_rng(0)
    for index in range(60):
        pixels = np.full((SIDE, SIDE, 3), random.integers(0, 256, 3), np.uint8)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{index}.png")
    before = {path.name: path.read_bytes() for path in model.path.iterdir()}
    with (
        ImageDirectory.open(tmp_path / "images") as images,
        pytest.raises(errors.OperationFailed, match="expected int8 to lose at most 1"),
    ):
        add_int8(model, images, max_accuracy_drop=0.01)
    assert {path.name: path.read_bytes() for path in model.path.iterdir()} == before


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
