"""ONNX networks of a few bytes: the mean colour of an image, times a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from calotype.images.preprocess import Preprocessing
from calotype.models import image_model
from calotype.models.image_model import Architecture, ImageModel, ModelDescription
from calotype.models.onnx_file import open_session

Side = int | str | None
SIDE = 8


def matrix(classes: int, channels: int = 3) -> NDArray[np.float32]:
    """Return the weights, shape (channels, classes)."""
    return np.random.default_rng(7).normal(0, 2, (channels, classes)).astype(np.float32)


def network(
    *,
    classes: int = 3,
    channels: int = 3,
    shape: Sequence[Side] = ("images", 3, SIDE, SIDE),
    channels_last: bool = False,
    softmax: bool = False,
    nodes_before: Sequence[onnx.NodeProto] = (),
    more_outputs: Sequence[str] = (),
    weights: NDArray[np.float32] | None = None,
) -> onnx.ModelProto:
    """Return a network whose input has the given shape.

    Args:
        classes: how many outputs it has.
        channels: how many colours it takes.
        shape: of the input `pixels`; text or None for sides that are left open.
        channels_last: the input has the channels last.
        softmax: end in probabilities.
        nodes_before: make the tensor `image` of `pixels`, instead of nothing.
        more_outputs: further tensors to give, before `scores`; `means` has shape (images, 3).
        weights: other ones than `matrix`, shape (channels, classes).
    """
    nodes = [*nodes_before] or [helper.make_node("Identity", ["pixels"], ["image"])]
    if channels_last:
        nodes.append(helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]))
    planes = "planes" if channels_last else "image"
    last = "logits" if softmax else "scores"
    nodes += [
        helper.make_node("GlobalAveragePool", [planes], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("MatMul", ["means", "weights"], [last]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["scores"], axis=1))
    widths = {"means": channels, "scores": classes}
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [shape[0], widths[name]])
        for name in (*more_outputs, "scores")
    ]
    graph = helper.make_graph(
        nodes,
        "mean colour",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, list(shape))],
        outputs,
        [
            numpy_helper.from_array(
                matrix(classes, channels) if weights is None else weights, "weights"
            )
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def save_network(path: Path, **options: Any) -> Path:
    """Write `network(**options)`."""
    path.write_bytes(network(**options).SerializeToString())
    return path


def run(path: Path, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the first output of a network with one input."""
    session = open_session(path)
    return np.asarray(session.run(None, {session.get_inputs()[0].name: pixels})[0])


def description(classes: Sequence[str] = ("cat", "dog", "owl"), **more: Any) -> ModelDescription:
    """Return a description that fits `network`."""
    preprocessing = Preprocessing.of({"resize": SIDE, "crop_height": SIDE, "crop_width": SIDE})
    values: dict[str, Any] = {
        "architecture": Architecture(name="onnx"),
        "classes": tuple(classes),
        "input_size": (SIDE, SIDE),
        "preprocessing": preprocessing,
        "input_name": "pixels",
        "output_name": "scores",
    }
    return ModelDescription(**values | more)


def save_model(
    out: Path, classes: Sequence[str] = ("cat", "dog", "owl"), **options: Any
) -> ImageModel:
    """Write a whole image model with `network(**options)` inside."""
    content: dict[str, Path | str] = {
        image_model.ONNX: save_network(out.with_name("network"), classes=len(classes), **options),
        image_model.WEIGHTS: "not read to score",
        "score.py": "pass",
    }
    return image_model.save(out, description(classes), content)
