"""Which runtime and which precision score a model: what was asked for, or the fastest to trust."""

from __future__ import annotations

from typing import Literal

from calotype import errors
from calotype.models.image_model import INT8_ONNX, ONNX, ImageModel
from calotype.progress import SILENCE, Progress
from calotype.scoring.runtimes import Precision, Runtime, RuntimeName, openvino
from calotype.scoring.runtimes.onnx_runtime import OnnxRuntime

PrecisionChoice = Literal["auto", "fp32", "bf16", "int8"]


def open_runtime(
    model: ImageModel,
    *,
    precision: PrecisionChoice,
    threads: int,
    with_features: bool = False,
    progress: Progress = SILENCE,
) -> Runtime:
    """Load a model's network; `with_features` if the runtime will be asked for them.

    `auto` takes the fastest precision that was measured to agree with fp32 on the model's own
    validation images (see `Agreement.is_trustworthy`) and that this CPU has in hardware; without
    a measurement it is fp32. Asking for an unmeasured precision works, with a warning.

    Raises:
        MissingDependency: bf16 without OpenVINO (2001).
        WeightsNotFound: int8, and the model has no int8 file (0162).
        OperationFailed: this CPU does not compute in bf16 (0039).
        CorruptModel: the ONNX file is damaged (0082).
    """
    chosen = fastest_to_trust(model) if precision == "auto" else precision
    name = runtime_for(chosen)
    _check_possible(model, chosen)
    if chosen != "fp32" and f"{name}:{chosen}" not in model.description.precisions:
        progress.say(
            f"warning: nobody has measured how well {chosen} agrees with fp32 for this model "
            f"on {name}; 'calotype model optimize' does."
        )
    return _open(model, name, chosen, threads, with_features=with_features)


def runtime_for(precision: Precision) -> RuntimeName:
    """Return the runtime for a precision: fp32 is ONNX Runtime's, the rest OpenVINO's if there."""
    if precision == "bf16" or (precision == "int8" and openvino.is_installed()):
        return "openvino"
    return "onnxruntime"


def fastest_to_trust(model: ImageModel) -> Precision:
    """Return the fastest precision whose measured agreement with fp32 is good enough."""
    measured = model.description.precisions
    trusted: list[tuple[float, Precision]] = []
    for precision in ("int8", "bf16"):
        agreement = measured.get(f"{runtime_for(precision)}:{precision}")
        if agreement is None or not agreement.is_trustworthy or not _is_possible(model, precision):
            continue
        speedup = (agreement.images_per_s or 2.0) / (agreement.fp32_images_per_s or 1.0)
        if speedup > 1.0:
            trusted.append((speedup, precision))
    return max(trusted, default=(1.0, "fp32"))[1]


def _is_possible(model: ImageModel, precision: Precision) -> bool:
    if precision == "int8":
        return model.has(INT8_ONNX)
    return openvino.is_installed() and openvino.has_in_hardware(precision)


def _check_possible(model: ImageModel, precision: Precision) -> None:
    if precision == "int8" and not model.has(INT8_ONNX):
        raise errors.WeightsNotFound(
            f"expected the file {INT8_ONNX}",
            where=str(model.path),
            got="a model without it",
            action="Make it: 'calotype model optimize MODEL --calibration DIR'.",
        )
    if precision == "bf16" and not openvino.is_installed():
        raise errors.MissingDependency(
            "expected OpenVINO for bf16",
            got="none installed",
            action="Run: pip install 'calotype[openvino]'",
        )
    if precision == "bf16" and not openvino.has_in_hardware("bf16"):
        raise errors.OperationFailed(
            "expected a CPU that computes in bf16",
            where="parameter 'precision'",
            got="one without",
            action="Use --precision fp32 or int8.",
        )


def _open(
    model: ImageModel,
    name: RuntimeName,
    precision: Precision,
    threads: int,
    *,
    with_features: bool,
) -> Runtime:
    description = model.description
    inner = description.inner_outputs if with_features else None
    features_name = inner.features if inner else None
    path = model.file(INT8_ONNX if precision == "int8" else ONNX)
    batch_size = None if description.is_batch_dynamic else 1
    if name == "openvino":
        return openvino.OpenVinoRuntime(
            path,
            input_shape=description.preprocessing.input_shape(1),
            output_name=description.output_name,
            precision=precision,
            threads=threads,
            batch_size=batch_size,
            features_name=features_name,
        )
    return OnnxRuntime(
        path,
        input_name=description.input_name,
        output_name=description.output_name,
        precision=precision,
        threads=threads,
        batch_size=batch_size,
        features_name=features_name,
    )
