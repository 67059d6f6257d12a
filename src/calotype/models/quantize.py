"""int8: the network of an image model with 8-bit weights and activations.

Static quantisation as ONNX operators (QDQ), which ONNX Runtime and OpenVINO both run: signed
weights per channel, unsigned activations, ranges by the smallest and largest value seen. Measured
against the alternatives, this loses least; per-tensor weights ruin depthwise networks.

Where the whole network loses too much, its most sensitive layers can stay as they are. A layer is
sensitive when the network's outputs change much if it alone is quantised: measured on
EfficientNet-Lite0, one layer of 50 does ten times the damage of the next, and noise at the layer's
own output does not find it.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import itertools
import logging
import tempfile
import warnings
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calotype import errors
from calotype.models.onnx_file import import_onnxruntime, open_session
from calotype.progress import SILENCE, Progress

Input = NDArray[np.float32]
"""A network input of one image, shape (1, 3, height, width) or channels last."""

_WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_TRIED_IMAGES = 4  # to find sensitive layers; more do not change the order at its top
_MOST_TRIALS = 48  # of layers or, in deeper networks, of neighbouring ones together


def quantize(onnx: Path, out: Path, *, input_name: str, images: Iterable[Input]) -> None:
    """Write an int8 version of an ONNX file; see `Quantizer`."""
    Quantizer(onnx, input_name=input_name, images=images).write(out)


@dataclass(frozen=True, slots=True)
class _Layer:
    """An operation with weights, and those without that follow it up to the next."""

    name: str
    nodes: tuple[str, ...]


class Quantizer:
    """A network with the ranges of its activations, to be written in int8 as a whole or in part.

    Args:
        onnx: the fp32 file.
        input_name: the network's input.
        output_name: its output that counts (None: the first one).
        images: network inputs of real images; a hundred or more give stable ranges.

    Raises:
        MissingDependency: the package onnx is not installed.
        TooFewRows: there is no image.
        OperationFailed: the network has parts that cannot be quantised.
    """

    def __init__(
        self,
        onnx: Path,
        *,
        input_name: str,
        images: Iterable[Input],
        output_name: str | None = None,
    ) -> None:
        _require_onnx()
        images = iter(images)
        self._tried = list(itertools.islice(images, _TRIED_IMAGES))
        if not self._tried:
            raise errors.TooFewRows(
                "expected readable images to calibrate int8 with",
                where="calibration images",
                got="none",
                action="Choose others, a hundred or more.",
            )
        self._onnx = onnx
        self._input, self._output = input_name, output_name
        with self._refusing(), tempfile.TemporaryDirectory() as temporary:
            prepared = Path(temporary) / "prepared.onnx"
            self._model = _prepare(onnx, prepared)
            everything = itertools.chain(self._tried, images)
            self._ranges = _ranges(prepared, _reader(input_name, everything))
        self._layers = _layers_of(self._model)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers, from the network's input to its output."""
        return tuple(layer.name for layer in self._layers)

    def write(self, out: Path, *, keep: Collection[str] = ()) -> None:
        """Write the network in int8.

        Args:
            out: the file.
            keep: the layers that stay in fp32.

        Raises:
            OperationFailed: the network has parts that cannot be quantised.
        """
        kept = [name for layer in self._layers if layer.name in keep for name in layer.nodes]
        with self._refusing():
            out.write_bytes(self._quantized(without=kept))

    def by_sensitivity(self, progress: Progress = SILENCE) -> list[str]:
        """Return the names of the layers, those first that suffer most from int8.

        Each is quantised alone, and the noise at the network's output is measured on a few of the
        images; in deep networks some neighbours are tried together.
        """
        size = -(-len(self._layers) // _MOST_TRIALS)
        groups = [self._layers[at : at + size] for at in range(0, len(self._layers), size)]
        expected = self._run(self._model.SerializeToString())
        noise: list[float] = []
        progress.begin("looking for sensitive layers", total=len(groups), unit="layers")
        try:
            for group in groups:
                only = [name for layer in group for name in layer.nodes]
                with self._refusing():
                    got = self._run(self._quantized(only=only))
                # A NaN is the worst noise of all; sorting must not trip over it.
                noise.append(float(np.nan_to_num(np.square(got - expected).sum(), nan=np.inf)))
                progress.advance()
        finally:
            progress.end()
        order = sorted(range(len(groups)), key=lambda index: -noise[index])
        return [layer.name for index in order for layer in groups[index]]

    def _run(self, network: bytes) -> NDArray[np.floating]:
        session = open_session(network, where=str(self._onnx))
        output = self._output or session.get_outputs()[0].name
        rows = [np.asarray(session.run([output], {self._input: one})[0]) for one in self._tried]
        return np.concatenate(rows)

    def _quantized(self, *, only: Sequence[str] = (), without: Sequence[str] = ()) -> bytes:
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        quantizer = QDQQuantizer(
            copy.deepcopy(self._model),
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self._ranges,
            nodes_to_quantize=list(only),
            nodes_to_exclude=list(without),
            op_types_to_quantize=_operators(),
            extra_options={},
        )
        quantizer.quantize_model()
        return quantizer.model.model.SerializeToString()

    @contextlib.contextmanager
    def _refusing(self) -> Generator[None]:
        try:
            with _quiet():
                yield
        except errors.CalotypeError:  # of reading the images
            raise
        except Exception as error:  # the quantiser raises all kinds for networks it does not know
            raise errors.OperationFailed(
                "expected a network that can be quantised to int8",
                where=str(self._onnx),
                got=(str(error).splitlines() or [type(error).__name__])[0],
                action="Use the model in fp32 or bf16.",
            ) from error


def _require_onnx() -> None:
    if importlib.util.find_spec("onnx") is None:
        raise errors.MissingDependency(
            "expected the package onnx for int8 quantisation",
            got="none installed",
            action="Run: pip install 'calotype[train]'",
        )


def _prepare(onnx: Path, prepared: Path) -> Any:
    """Return the network ready to be quantised, and write it to `prepared`."""
    import_onnxruntime()
    import onnx as onnx_package
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # Folds batch norms into convolutions: their ranges would be quantised apart otherwise.
    quant_pre_process(onnx, prepared, skip_symbolic_shape=True)
    model = load_model_with_shape_infer(prepared)
    for index, node in enumerate(model.graph.node):  # other exporters leave them without
        node.name = node.name or f"{node.op_type}_{index}"
    _drop_weights_among_outputs(model)
    onnx_package.save(model, prepared)
    return model


def _drop_weights_among_outputs(model: Any) -> None:
    """Explanations read the head's weights from the fp32 file; here they would stay in fp32."""
    weights = {one.name for one in model.graph.initializer}
    for output in [one for one in model.graph.output if one.name in weights]:
        model.graph.output.remove(output)


def _ranges(prepared: Path, reader: Any) -> Any:
    """Return the smallest and largest value of every activation."""
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    calibrator = create_calibrator(
        prepared,
        _operators(),
        augmented_model_path=str(prepared.with_name("observed.onnx")),
        calibrate_method=CalibrationMethod.MinMax,
    )
    calibrator.collect_data(reader)
    return calibrator.compute_data()


def _operators() -> list[str]:
    """Return the operators that the quantiser knows."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return sorted({*QDQRegistry, *QLinearOpsRegistry})


def _layers_of(model: Any) -> list[_Layer]:
    groups: list[list[Any]] = []
    before: list[Any] = []
    for node in model.graph.node:
        if node.op_type in _WITH_WEIGHTS:
            groups.append([node])
        else:
            (groups[-1] if groups else before).append(node)
    first, *others = groups or [[]]
    groups = [[*first, *before], *others]
    return [_Layer(one[0].name, tuple(node.name for node in one)) for one in groups if one]


def _reader(input_name: str, images: Iterator[Input]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def get_next(self) -> Any:  # None at the end, which its annotation forgets
            image = next(images, None)
            return None if image is None else {input_name: image}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keep advice for the quantiser's developers off the user's terminal."""
    root = logging.getLogger()
    level = root.level
    try:
        root.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
