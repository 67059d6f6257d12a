"""OpenVINO: the same ONNX files, twice as fast in bf16 and faster in int8 on CPUs."""

from __future__ import annotations

import functools
import importlib.util
import sys
import threading
from pathlib import Path

import numpy as np

from calotype import errors
from calotype.scoring.runtimes import Batch, Features, Outputs, Precision, RuntimeName

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
        features_name: its output with the features, where they will be asked for.

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
        features_name: str | None = None,
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
        wanted = [output_name, *([features_name] if features_name else [])]
        try:
            network = core.read_model(path)
            # Only what is asked for: whatever else the file gives would be computed every time.
            network = openvino.Model(  # pyright: ignore[reportGeneralTypeIssues] - its stubs disagree
                [network.output(name) for name in wanted], network.get_parameters()
            )
            self._network = core.compile_model(network, "CPU", settings)
        except RuntimeError as error:
            raise errors.CorruptModel(
                "expected an ONNX model that OpenVINO can run",
                where=str(path),
                got=str(error).strip().splitlines()[-1],
                action="Export the model again, or use --precision fp32.",
            ) from error
        self._outputs = [self._network.output(name) for name in wanted]
        self._local = threading.local()
        # Two threads that make their very first tensor at the same moment wait for each other for
        # ever: one holds the interpreter lock, the other the guard of a static in OpenVINO's
        # bindings. So the first inference runs here, alone.
        self.infer(np.zeros(input_shape, np.float32))

    def infer(self, batch: Batch) -> Outputs:
        """Run the network on a batch."""
        return self._run(batch)[0]

    def infer_with_features(self, batch: Batch) -> tuple[Outputs, Features]:
        """Run the network on a batch."""
        outputs, features = self._run(batch)
        return outputs, features

    def _run(self, batch: Batch) -> list[Outputs]:
        request = getattr(self._local, "request", None)
        if request is None:  # a request serves one thread at a time
            request = self._local.request = self._network.create_infer_request()
        results = request.infer({0: batch}, share_inputs=True)
        return [
            np.array(results[output], dtype=np.float32).reshape(len(batch), -1)
            for output in self._outputs
        ]
