"""ONNX Runtime: the core runtime, for fp32 and int8; on CUDA when its GPU package is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calotype.models.onnx_file import import_onnxruntime, open_session
from calotype.scoring.runtimes import Batch, Features, Outputs, Precision, RuntimeName

# Small batches keep activations in the caches; a GPU wants to be filled.
_CPU_BATCH = 2
_GPU_BATCH = 32


class OnnxRuntime:
    """One session shared by all threads, each with its own cores: one, unless more are asked for.

    Args:
        path: the ONNX file.
        input_name: its input.
        output_name: its output with one row per image.
        precision: what the file computes in.
        threads: how many threads will call `infer` at once.
        batch_size: the most images it takes at once (None: as many as is best).
        features_name: its output with the features, where they will be asked for.
        cores: how many of them work on one call together.

    Raises:
        CorruptModel: the file is no ONNX model that this version can run.
    """

    name: RuntimeName = "onnxruntime"

    def __init__(
        self,
        path: Path,
        *,
        input_name: str,
        output_name: str,
        precision: Precision,
        threads: int,
        batch_size: int | None = None,
        features_name: str | None = None,
        cores: int = 1,
    ) -> None:
        self.version: str = import_onnxruntime().__version__
        self.precision: Precision = precision
        self.threads = threads
        self._session = open_session(path, cores=cores)
        self._input = input_name
        self._output = [output_name]
        self._with_features = [output_name, *([features_name] if features_name else [])]
        on_gpu = self._session.get_providers()[0] != "CPUExecutionProvider"
        self.device = "cuda" if on_gpu else "cpu"
        self.batch_size = batch_size or (_GPU_BATCH if on_gpu else _CPU_BATCH)

    def infer(self, batch: Batch) -> Outputs:
        """Run the network on a batch."""
        (outputs,) = self._session.run(self._output, {self._input: batch})
        return np.asarray(outputs, dtype=np.float32).reshape(len(batch), -1)

    def infer_with_features(self, batch: Batch) -> tuple[Outputs, Features]:
        """Run the network on a batch."""
        outputs, features = self._session.run(self._with_features, {self._input: batch})
        rows = len(batch)
        return (
            np.asarray(outputs, dtype=np.float32).reshape(rows, -1),
            np.asarray(features, dtype=np.float32).reshape(rows, -1),
        )
