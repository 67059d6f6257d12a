"""Making a model faster without making it worse: int8, measured before it is believed."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calotype import errors
from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Preprocessor
from calotype.models import image_model
from calotype.models.image_model import Agreement, ImageModel
from calotype.models.quantize import quantize
from calotype.progress import SILENCE, Progress
from calotype.scoring import agreement
from calotype.scoring.precision import runtime_for
from calotype.scoring.runtimes import Precision, openvino

_CALIBRATION_IMAGES = 200
_MEASURED_IMAGES = 1000


def faster_precisions() -> list[Precision]:
    """Return the precisions besides int8 that this machine computes faster than fp32."""
    return ["bf16"] if openvino.is_installed() and openvino.has_in_hardware("bf16") else []


def add_int8(
    model: ImageModel,
    calibration: ImageDirectory,
    *,
    max_accuracy_drop: float = 0.005,
    progress: Progress = SILENCE,
) -> ImageModel:
    """Add an int8 version to a model, if it is nearly as accurate and faster.

    Args:
        model: the image model; its folder is changed.
        calibration: images like those to score; labelled ones let the accuracy be measured.
        max_accuracy_drop: the most accuracy that may be lost, 0-1; without labels, the most
            images that may get another label.
        progress: is told what is going on.

    Returns:
        The model with `model.int8.onnx` and its measured agreement.

    Raises:
        OperationFailed: int8 would cost more accuracy, or is not faster on this machine; the
            message has the figures, and the model stays as it was.
    """
    if not 0.0 <= max_accuracy_drop <= 1.0:
        raise errors.NotInRange(
            "must lie between 0 and 1",
            where="parameter 'max_accuracy_drop'",
            got=str(max_accuracy_drop),
        )
    with tempfile.TemporaryDirectory() as temporary:
        candidate = Path(temporary) / "candidate"
        _copy(model, candidate)
        int8 = Path(temporary) / image_model.INT8_ONNX
        progress.say(f"calibrating on up to {_CALIBRATION_IMAGES} images")
        quantize(
            model.file(image_model.ONNX),
            int8,
            input_name=model.description.input_name,
            images=_inputs(model, calibration),
        )
        tried = ImageModel.load(candidate).with_file(image_model.INT8_ONNX, int8)
        progress.say("measuring int8 against fp32")
        found = agreement.measure(tried, calibration, ["int8"], images=_MEASURED_IMAGES)
        _check(found[f"{runtime_for('int8')}:int8"], max_accuracy_drop)
        precisions = {**model.description.precisions, **found}
        return model.with_file(image_model.INT8_ONNX, int8, precisions=precisions)


def add_measurements(model: ImageModel, images: ImageDirectory) -> ImageModel:
    """Measure the faster precisions of this machine and store the result in the model."""
    precisions = faster_precisions()
    if not precisions:
        return model
    found = agreement.measure(model, images, precisions, images=_MEASURED_IMAGES)
    return model.with_description(precisions={**model.description.precisions, **found})


def _copy(model: ImageModel, folder: Path) -> None:
    folder.mkdir()
    for name in (image_model.MODEL_JSON, *model.description.files):
        (folder / name).symlink_to((model.path / name).absolute())


def _inputs(model: ImageModel, directory: ImageDirectory) -> Iterator[NDArray[np.float32]]:
    preprocessor = Preprocessor(model.preprocessing)
    step = max(1, len(directory) // _CALIBRATION_IMAGES)
    with directory.reader() as reader:
        for entry in itertools.islice(directory.entries(), 0, None, step):
            batch = np.empty(model.preprocessing.input_shape(1), np.float32)
            try:
                preprocessor.load(reader.read(entry), batch[0], where=entry.path)
            except errors.FileError:
                continue  # it will be missing from the measurement too
            yield batch


def _check(found: Agreement, max_accuracy_drop: float) -> None:
    drop = 1.0 - found.label_agreement
    measure = f"{found.label_agreement:.2%} of {found.images} images with the label of fp32"
    if found.accuracy is not None and found.fp32_accuracy is not None:
        drop = found.fp32_accuracy - found.accuracy
        measure = f"an accuracy of {found.accuracy:.2%} after {found.fp32_accuracy:.2%} in fp32"
    if drop > max_accuracy_drop:
        raise errors.OperationFailed(
            f"expected int8 to lose at most {max_accuracy_drop:.2%}",
            where="int8",
            got=measure,
            action="Calibrate on more images like those to score, or allow a larger "
            "--max-accuracy-drop.",
        )
    if (found.images_per_s or 0.0) <= (found.fp32_images_per_s or 0.0):
        raise errors.OperationFailed(
            "expected int8 to be faster than fp32 on this machine",
            where="int8",
            got=f"{found.images_per_s:.1f} images/s after {found.fp32_images_per_s:.1f} in fp32",
            action="Keep fp32, or try bf16 with the extra openvino.",
        )
