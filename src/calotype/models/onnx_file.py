"""Opening ONNX files with ONNX Runtime, quietly: the one place where it is imported."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calotype import errors

if TYPE_CHECKING:
    import onnxruntime

# A model in memory may refer to weights in files; ONNX Runtime would look for them in the folder
# where the user happens to be. Here it finds none.
_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
_NO_FOLDER = "/no such folder"

# It quantises the weights of layers that were kept in fp32 on purpose, because their neighbours
# are in int8. Versions that do not have it yet take no notice of its name.
_UNWANTED = ["WeightBiasQuantization"]


def import_onnxruntime() -> Any:
    """Import ONNX Runtime without the reports that it sends home by default.

    Only the environment variable, and only before the first import, keeps it from starting a
    thread and writing a device id into the user's cache.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def open_session(
    model: Path | bytes, *, where: str = "", cores: int = 1
) -> onnxruntime.InferenceSession:
    """Open an ONNX file, on CUDA when the GPU package is installed.

    Args:
        model: the file, or its content; content must not refer to weights in other files.
        where: the name for messages, when `model` is content.
        cores: how many of them work on one call together.

    Raises:
        CorruptModel: the file is no ONNX model that this version can run.
        InvalidModel: the content refers to weights in other files.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its warnings are for its developers, its errors are raised
    if isinstance(model, bytes):
        options.add_session_config_entry(_WEIGHTS_FOLDER, _NO_FOLDER)
    known = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in known if name in onnxruntime.get_available_providers()]
    try:
        source = model if isinstance(model, bytes) else str(model)
        return onnxruntime.InferenceSession(
            source, options, providers=providers, disabled_optimizers=_UNWANTED
        )
    except Exception as error:  # its exceptions have no common base
        raise _not_opened(str(error), where or str(model)) from error


def _not_opened(reason: str, where: str) -> errors.ModelError:
    if "External data path" in reason:
        return errors.InvalidModel(
            "expected an ONNX model in one file",
            where=where,
            got="one that keeps its weights in other files",
            action="Save it whole: onnx.save(onnx.load(FILE), NEW_FILE).",
        )
    return errors.CorruptModel(
        "expected an ONNX model that ONNX Runtime can run",
        where=where,
        got=reason.splitlines()[0],
        action="Export the model again.",
    )
