"""int8: the network of an image model with 8-bit weights and activations.

Static quantisation as ONNX operators (QDQ), which ONNX Runtime and OpenVINO both run: signed
weights per channel, unsigned activations, ranges by the smallest and largest value seen. Measured
against the alternatives, this loses least; per-tensor weights ruin depthwise networks.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import logging
import tempfile
import warnings
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calotype import errors
from calotype.models.onnx_file import import_onnxruntime


def quantize(
    onnx: Path, out: Path, *, input_name: str, images: Iterable[NDArray[np.float32]]
) -> None:
    """Write an int8 version of an ONNX file.

    Args:
        onnx: the fp32 file.
        out: the int8 file.
        input_name: the network's input.
        images: network inputs of real images, each of shape (1, 3, height, width); a hundred or
            more give stable ranges.

    Raises:
        MissingDependency: the package onnx is not installed.
        TooFewRows: there is no image.
        OperationFailed: the network has parts that cannot be quantised.
    """
    if importlib.util.find_spec("onnx") is None:
        raise errors.MissingDependency(
            "expected the package onnx for int8 quantisation",
            got="none installed",
            action="Run: pip install 'calotype[train]'",
        )
    images = iter(images)
    first = next(images, None)
    if first is None:
        raise errors.TooFewRows("expected readable images to calibrate int8 with", got="none")
    try:
        with tempfile.TemporaryDirectory() as temporary, _quiet():
            prepared = Path(temporary) / "prepared.onnx"
            _quantize(onnx, prepared, out, _reader(input_name, itertools.chain([first], images)))
    except errors.CalotypeError:  # of reading the images
        raise
    except Exception as error:  # the quantiser raises all kinds for networks it does not know
        raise errors.OperationFailed(
            "expected a network that can be quantised to int8",
            where=str(onnx),
            got=(str(error).splitlines() or [type(error).__name__])[0],
            action="Use the model in fp32 or bf16.",
        ) from error


def _quantize(onnx: Path, prepared: Path, out: Path, reader: Any) -> None:
    import_onnxruntime()
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # Folds batch norms into convolutions: their ranges would be quantised apart otherwise.
    quant_pre_process(onnx, prepared, skip_symbolic_shape=True)
    _drop_weights_among_outputs(prepared)
    quantization.quantize_static(
        prepared,
        out,
        reader,
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
        activation_type=quantization.QuantType.QUInt8,
        calibrate_method=quantization.CalibrationMethod.MinMax,
    )


def _drop_weights_among_outputs(path: Path) -> None:
    """Explanations read the head's weights from the fp32 file; here they would stay in fp32."""
    import onnx

    model = onnx.load(path)
    weights = {one.name for one in model.graph.initializer}
    for output in [one for one in model.graph.output if one.name in weights]:
        model.graph.output.remove(output)
    onnx.save(model, path)


def _reader(input_name: str, images: Iterator[NDArray[np.float32]]) -> Any:
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
