"""What exported networks give beside their logits, by architecture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from calotype.models.architectures import build
from calotype.models.export import to_onnx

WITH_MAP = ("test_resnet",)  # as all ResNets, DenseNets and EfficientNets
WITHOUT_MAP = ("test_vit", "test_convnext")  # a token, and a norm after the pooling
SIZE = 64


@pytest.fixture(scope="module", params=[*WITH_MAP, *WITHOUT_MAP])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, dict[str, str | None]]:
    name: str = request.param
    torch.manual_seed(1)
    size = 160 if name == "test_vit" else SIZE
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    inner = to_onnx(build(name, classes=4).eval(), path, input_size=(size, size))
    assert inner is not None
    return name, path, inner.model_dump()


def test_the_outputs_are_what_they_are_called(
    exported: tuple[str, Path, dict[str, str | None]],
) -> None:
    name, path, inner = exported
    session = onnxruntime.InferenceSession(path)
    images = np.random.default_rng(0).normal(size=(3, *session.get_inputs()[0].shape[1:]))
    names = [one.name for one in session.get_outputs()]
    assert names[0] == "logits"
    results = session.run(None, {"image": images.astype(np.float32)})
    given = dict(zip(names, map(np.asarray, results), strict=True))
    assert given[str(inner["features"])].shape[0] == 3
    assert (inner["feature_map"] is not None) == (name in WITH_MAP)
    if name in WITH_MAP:
        feature_map = given[str(inner["feature_map"])]
        weights = given[str(inner["class_weights"])]
        assert feature_map.ndim == 4
        assert feature_map.mean(axis=(2, 3)) == pytest.approx(
            given[str(inner["features"])], abs=1e-5
        )
        # The mean of the class activations is the logit, but for the bias.
        activations = np.einsum("nchw,kc->nkhw", feature_map, weights)
        bias = given["logits"] - activations.mean(axis=(2, 3))
        assert bias == pytest.approx(np.tile(bias[:1], (3, 1)), abs=1e-5)


def test_the_file_is_valid_onnx(exported: tuple[str, Path, dict[str, str | None]]) -> None:
    onnx.checker.check_model(str(exported[1]))


def test_a_map_of_one_position_is_none(tmp_path: Path) -> None:
    inner = to_onnx(
        build("test_resnet", classes=2).eval(), tmp_path / "x.onnx", input_size=(32, 32)
    )
    assert inner is not None
    assert inner.features == "features"
    assert inner.feature_map is None


def test_a_network_with_another_last_layer_is_exported_as_it_is(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8), torch.nn.Flatten()).eval()
    assert to_onnx(network, tmp_path / "x.onnx", input_size=(8, 8)) is None
    assert [one.name for one in onnx.load(tmp_path / "x.onnx").graph.output] == ["logits"]
