"""OpenVINO: the same ONNX files, twice as fast in bf16 and faster in int8 on CPUs."""

from __future__ import annotations

import functools
import importlib.util
import sys
import threading
from pathlib import Path

import numpy as np

from calotype import errors
from calotype.scoring.runtimes import Batch, Outputs, Precision, RuntimeName

_BATCH = 2

# int8 files hold their own quantisation; what is left in them runs in fp32.
_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
_CAPABILITIES: dict[Precision, str] = {"fp32": "FP32", "bf16": "BF16", "int8": "INT8"}


def is_installed() -> bool:
    """Whether the extra `openvino` is there; imports nothing."""
    return importlib.util.find_spec("openvino") is not None


@functools.cache
def _core():
    # Its telemetry package writes into the home folder as soon as openvino is imported; with the
    # name taken by None, openvino goes on without it.
    sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType]
    import openvino

    return openvino.Core()


def has_in_hardware(precision: Precision) -> bool:
    """Whether this CPU computes in `precision` faster than in fp32."""
    capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return _CAPABILITIES[precision] in capabilities


class OpenVinoRuntime:
    """One compiled network with a stream for each thread.

    Args:
        path: the ONNX file.
        input_shape: of a batch of one image.
        output_name: its output with one row per image.
        precision: always set explicitly; left alone, OpenVINO silently takes bf16 where it can.
        threads: how many threads will call `infer` at once.
        batch_size: the most images it takes at once (None: as many as is best).

    Raises:
        CorruptModel: the file is no ONNX model that this version can run.
    """

    name: RuntimeName = "openvino"
    device = "cpu"

    def __init__(
        self,
        path: Path,
        *,
        input_shape: tuple[int, ...],
        output_name: str,
        precision: Precision,
        threads: int,
        batch_size: int | None = None,
    ) -> None:
        core = _core()
        import openvino

        self.version = openvino.__version__.split("-")[0]
        self.precision: Precision = precision
        self.threads = threads
        self.batch_size = batch_size or _BATCH
        settings = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
        }
        try:
            self._network = core.compile_model(core.read_model(path), "CPU", settings)
        except RuntimeError as error:
            raise errors.CorruptModel(
                "expected an ONNX model that OpenVINO can run",
                where=str(path),
                got=str(error).strip().splitlines()[-1],
                action="Export the model again, or use --precision fp32.",
            ) from error
        self._output = self._network.output(output_name)
        self._local = threading.local()
        # Two threads that make their very first tensor at the same moment wait for each other for
        # ever: one holds the interpreter lock, the other the guard of a static in OpenVINO's
        # bindings. So the first inference runs here, alone.
        self.infer(np.zeros(input_shape, np.float32))

    def infer(self, batch: Batch) -> Outputs:
        """Run the network on a batch."""
        request = getattr(self._local, "request", None)
        if request is None:  # a request serves one thread at a time
            request = self._local.request = self._network.create_infer_request()
        outputs = request.infer({0: batch}, share_inputs=True)[self._output]
        return np.array(outputs, dtype=np.float32).reshape(len(batch), -1)
