"""Small ONNX files for tests of serving: made by hand, so that their answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
BOOL, UINT8 = TensorProto.BOOL, TensorProto.UINT8

Shape = Sequence[int | str | None] | None

COEFFICIENTS = np.arange(1, 11, dtype=np.float32)
INTERCEPT = 0.5


def tensor(name: str, kind: int, shape: Shape) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def save(
    path: Path, nodes: Sequence[Any], inputs: Any, outputs: Any, weights: Sequence[Any] = ()
) -> Path:
    """Write a network; `ml` operators may be used."""
    graph = helper.make_graph(nodes, "made", inputs, outputs, list(weights))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def ridge(path: Path) -> Path:
    """A linear regression of ten features, as a product and a sum."""
    weights = [
        helper.make_tensor("w", FLOAT, [10, 1], COEFFICIENTS),
        helper.make_tensor("b", FLOAT, [1], [INTERCEPT]),
    ]
    return save(
        path,
        [helper.make_node("Gemm", ["features", "w", "b"], ["target"])],
        [tensor("features", FLOAT, ["rows", 10])],
        [tensor("target", FLOAT, ["rows", 1])],
        weights,
    )


def identity(path: Path, kind: int, shape: Shape) -> Path:
    """Give back what comes in."""
    return save(
        path,
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", kind, shape)],
        [tensor("y", kind, shape)],
    )


def two_inputs(path: Path) -> Path:
    """Multiply numbers by a weight for each row."""
    return save(
        path,
        [helper.make_node("Mul", ["numbers", "weight"], ["product"])],
        [tensor("numbers", FLOAT, [None, 3]), tensor("weight", FLOAT, [None, 1])],
        [tensor("product", FLOAT, [None, 3])],
    )


def two_outputs(path: Path) -> Path:
    """Give the largest of each row and where it is."""
    return save(
        path,
        [
            helper.make_node("ReduceMax", ["x"], ["largest"], axes=[1], keepdims=0),
            helper.make_node("ArgMax", ["x"], ["place"], axis=1, keepdims=0),
        ],
        [tensor("x", FLOAT, [None, 3])],
        [tensor("largest", FLOAT, [None]), tensor("place", INT64, [None])],
    )


def zipmap(path: Path, **labels: Any) -> Path:
    """Name probabilities by class, as converters of scikit-learn do."""
    key = STRING if "classlabels_strings" in labels else INT64
    named = helper.make_map_type_proto(key, helper.make_tensor_type_proto(FLOAT, []))
    output = helper.make_value_info("probabilities", helper.make_sequence_type_proto(named))
    return save(
        path,
        [helper.make_node("ZipMap", ["x"], ["probabilities"], domain="ai.onnx.ml", **labels)],
        [tensor("x", FLOAT, [None, 2])],
        [output],
    )


def square_roots(path: Path) -> Path:
    """Give what is not a number for what is below zero."""
    return save(
        path,
        [helper.make_node("Sqrt", ["x"], ["y"])],
        [tensor("x", FLOAT, [None])],
        [tensor("y", FLOAT, [None])],
    )


def slow(path: Path, rounds: int | None = None) -> Path:
    """Multiply a matrix by itself over and over: some milliseconds for each hundred rounds.

    Without `rounds` the input says how many: a service that tries zeros starts at once.
    """
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "state"], ["next"]),
            helper.make_node("Identity", ["going"], ["still"]),
        ],
        "round",
        [
            tensor("round", INT64, []),
            tensor("going", BOOL, []),
            tensor("state", FLOAT, [128, 128]),
        ],
        [tensor("still", BOOL, []), tensor("next", FLOAT, [128, 128])],
    )
    counted = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["rounds"], to=INT64),
    ]
    return save(
        path,
        [
            *(counted if rounds is None else []),
            helper.make_node("Expand", ["x", "shape"], ["start"]),
            helper.make_node("Loop", ["rounds", "", "start"], ["y"], body=body),
        ],
        [tensor("x", FLOAT, [1, 1])],
        [tensor("y", FLOAT, [128, 128])],
        [
            helper.make_tensor("shape", INT64, [2], [128, 128]),
            *([helper.make_tensor("rounds", INT64, [], [rounds])] if rounds is not None else []),
        ],
    )
