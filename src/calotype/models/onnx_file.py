"""Opening ONNX files with ONNX Runtime, quietly: the one place where it is imported."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calotype import errors

if TYPE_CHECKING:
    import onnxruntime


def import_onnxruntime() -> Any:
    """Import ONNX Runtime without the reports that it sends home by default.

    Only the environment variable, and only before the first import, keeps it from starting a
    thread and writing a device id into the user's cache.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def open_session(model: Path | bytes, *, where: str = "") -> onnxruntime.InferenceSession:
    """Open an ONNX file with one core per call, on CUDA when the GPU package is installed.

    Args:
        model: the file, or its content; content must not refer to weights in other files.
        where: the name for messages, when `model` is content.

    Raises:
        CorruptModel: the file is no ONNX model that this version can run.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: its warnings are for its developers
    known = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in known if name in onnxruntime.get_available_providers()]
    try:
        source = model if isinstance(model, bytes) else str(model)
        return onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # its exceptions have no common base
        raise errors.CorruptModel(
            "expected an ONNX model that ONNX Runtime can run",
            where=where or str(model),
            got=str(error).splitlines()[0],
            action="Export the model again.",
        ) from error
