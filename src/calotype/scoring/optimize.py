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
from calotype.models.quantize import Quantizer
from calotype.progress import SILENCE, Progress
from calotype.scoring import agreement
from calotype.scoring.agreement import Sample
from calotype.scoring.precision import runtime_for
from calotype.scoring.runtimes import Precision, openvino

_CALIBRATION_IMAGES = 200
_MEASURED_IMAGES = 1000
_ENOUGH_TO_SPLIT = 40

_KEPT_SHARES = (0.1, 0.25, 0.5)  # of the layers, when int8 as a whole costs too much accuracy
_LEAST_SPEEDUP = 1.05  # less than that is within what repeated measurements differ by


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

    Where int8 as a whole loses too much, a tenth, a quarter and then half of the layers stay in
    fp32, the most sensitive ones first.

    Args:
        model: the image model; its folder is changed.
        calibration: images like those to score; labelled ones let the accuracy be measured. From
            40 images on, those to calibrate on are others than those to measure on.
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
    for_ranges, for_accuracy = _split(len(calibration))
    progress.say(f"calibrating on up to {_CALIBRATION_IMAGES} images")
    quantizer = Quantizer(
        model.file(image_model.ONNX),
        input_name=model.description.input_name,
        output_name=model.description.output_name,
        images=_inputs(model, calibration, for_ranges),
    )
    progress.say("measuring int8 against fp32")
    reference = agreement.labels_of(model, calibration, "fp32", for_accuracy)
    with tempfile.TemporaryDirectory() as temporary:
        candidate, int8 = Path(temporary) / "candidate", Path(temporary) / image_model.INT8_ONNX
        _copy(model, candidate)
        tried: list[Agreement] = []
        for kept in _kept_layers(quantizer, progress):
            quantizer.write(int8, keep=kept)
            faster = ImageModel.load(candidate).with_file(image_model.INT8_ONNX, int8)
            labels = agreement.labels_of(faster, calibration, "int8", for_accuracy)
            found = agreement.compare(reference, labels).model_copy(
                update={"layers": len(quantizer.layers), "kept_layers": kept}
            )
            progress.say(f"int8: {_figures(found)}")
            tried.append(found)
            if _drop(found) <= max_accuracy_drop:
                measured = agreement.speeds(faster, calibration, "int8", for_accuracy)
                found = agreement.with_speeds(found, measured)
                _check_speed(found)
                precisions = {**model.description.precisions, f"{runtime_for('int8')}:int8": found}
                return model.with_file(image_model.INT8_ONNX, int8, precisions=precisions)
    raise errors.OperationFailed(
        f"expected int8 to lose at most {max_accuracy_drop:.2%}",
        where="int8",
        got=f"at best {_figures(min(tried, key=_drop))}",
        action="Calibrate on more images like those to score, or allow a larger "
        "--max-accuracy-drop.",
    )


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


def _split(images: int) -> tuple[Sample, Sample]:
    """Return the images for the ranges of activations, and others to measure accuracy on.

    Every second one each, so that both have all classes; a few images serve for both.
    """
    if images < _ENOUGH_TO_SPLIT:
        return Sample(), Sample()
    half = images // 2
    return (
        Sample(0, 2 * Sample.of(half, _CALIBRATION_IMAGES).step),
        Sample(1, 2 * Sample.of(half, _MEASURED_IMAGES).step),
    )


def _kept_layers(quantizer: Quantizer, progress: Progress) -> Iterator[tuple[str, ...]]:
    """Give which layers to keep in fp32: none, then more and more of the most sensitive ones."""
    yield ()
    layers = len(quantizer.layers)
    counts = {max(1, round(share * layers)) for share in _KEPT_SHARES}
    possible = sorted(count for count in counts if count < layers)
    order = quantizer.by_sensitivity(progress) if possible else []
    for count in possible:
        yield tuple(order[:count])


def _inputs(
    model: ImageModel, directory: ImageDirectory, sample: Sample
) -> Iterator[NDArray[np.float32]]:
    preprocessor = Preprocessor(model.preprocessing)
    with directory.reader() as reader:
        entries = directory.entries(sample.start)
        for entry in itertools.islice(entries, 0, None, sample.step):
            batch = np.empty(model.preprocessing.input_shape(1), np.float32)
            try:
                preprocessor.load(reader.read(entry), batch[0], where=entry.path)
            except errors.FileError:
                continue  # it will be missing from the measurement too
            yield batch


def _drop(found: Agreement) -> float:
    """Return the accuracy that was lost or, without labels, the share of other labels."""
    if found.accuracy is None or found.fp32_accuracy is None:
        return 1.0 - found.label_agreement
    return found.fp32_accuracy - found.accuracy


def _figures(found: Agreement) -> str:
    if found.accuracy is None or found.fp32_accuracy is None:
        figures = f"{found.label_agreement:.2%} of {found.images} images with the label of fp32"
    else:
        figures = f"an accuracy of {found.accuracy:.2%} after {found.fp32_accuracy:.2%} in fp32"
    kept = f" with {len(found.kept_layers)} of {found.layers} layers in fp32"
    return figures + kept if found.kept_layers else figures


def _check_speed(found: Agreement) -> None:
    int8, fp32 = found.images_per_s or 0.0, found.fp32_images_per_s or 0.0
    if int8 < _LEAST_SPEEDUP * fp32:
        raise errors.OperationFailed(
            "expected int8 to be faster than fp32 on this machine",
            where="int8",
            got=f"{int8:.1f} images/s after {fp32:.1f} in fp32, at {_figures(found)}",
            action="Keep fp32, or try bf16 with the extra openvino.",
        )
