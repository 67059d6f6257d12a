"""What an ONNX file tells beside its logits: the pooled features, and what they are pooled from.

Explanations need the last feature map and the weights of the head, novelty the pooled features.
All three are in the file already; naming them as outputs adds no computation to plain scoring.
(Class activation maps as an output would: ONNX Runtime computes every output, asked for or not,
and the maps of 1,000 classes made EfficientNet-Lite0 20 % slower.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from calotype.models.image_model import InnerOutputs

if TYPE_CHECKING:
    import onnx_ir as ir

_FEATURES = "features"
_FEATURE_MAP = "feature_map"
_SHAPES = ("Reshape", "Flatten", "Squeeze", "Identity", "Dropout")  # nothing is computed in them
_MEANS = ("ReduceMean", "GlobalAveragePool")


def expose(model: ir.Model) -> InnerOutputs | None:
    """Make features, feature map and head weights outputs of a model, as far as it has them.

    The pattern is that of most classifiers: logits are a linear layer (Gemm) of the features, and
    those perhaps the mean of a feature map over its positions.

    Args:
        model: a model whose one output is the logits; changed in place.

    Returns:
        The names of the outputs; None when the last layer is another one.
    """
    graph = model.graph
    (logits,) = graph.outputs
    head = logits.producer()
    if head is None or head.op_type != "Gemm" or not _is_plain(head):
        return None
    features, weights = head.inputs[0], head.inputs[1]
    taken = {value.name for node in graph.all_nodes() for value in node.outputs}
    if features is None or features.producer() is None:
        return None
    if weights is None or weights.name not in graph.initializers:
        return None
    if {_FEATURES, _FEATURE_MAP} & {*taken, *graph.initializers}:
        return None
    feature_map = _pooled_from(features)
    features.name = _FEATURES
    graph.outputs.append(features)
    if feature_map is None:
        return InnerOutputs(features=_FEATURES)
    feature_map.name = _FEATURE_MAP
    graph.outputs.extend((feature_map, weights))
    return InnerOutputs(
        features=_FEATURES, feature_map=_FEATURE_MAP, class_weights=str(weights.name)
    )


def _is_plain(head: ir.Node) -> bool:
    """Whether it computes features times transposed weights, and perhaps adds a bias."""
    expected = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}
    defaults = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
    given = {name: attribute.value for name, attribute in head.attributes.items()}
    return defaults | given == expected


def _pooled_from(features: ir.Value) -> ir.Value | None:
    """Return the feature map that the features are the mean of over all positions, if they are."""
    node = features.producer()
    while node is not None and node.op_type in _SHAPES and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    if node is None or node.op_type not in _MEANS or not _is_over_positions(node):
        return None
    feature_map = node.inputs[0]
    if feature_map is None or feature_map.producer() is None:
        return None
    shape: Any = feature_map.shape
    if shape is None or len(shape) != 4:
        return None
    height, width = shape[2], shape[3]
    is_known = isinstance(height, int) and isinstance(width, int)
    # A single position explains nothing.
    return feature_map if is_known and height * width > 1 else None


def _is_over_positions(node: ir.Node) -> bool:
    if node.op_type == "GlobalAveragePool":
        return True
    axes = node.inputs[1].const_value if len(node.inputs) > 1 and node.inputs[1] else None
    return axes is not None and sorted(int(axis) % 4 for axis in axes.numpy()) == [2, 3]
