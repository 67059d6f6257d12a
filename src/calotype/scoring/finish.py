"""The last step of training: what only whole validation images can tell about a model."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Preprocessor
from calotype.models.calibration import expected_calibration_error, fit_temperature
from calotype.models.image_model import NOVELTY, ImageModel
from calotype.models.novelty import NoveltyStatistic
from calotype.models.validation_predictions import ValidationPredictions
from calotype.progress import SILENCE, Progress
from calotype.resources import usable_cores
from calotype.scoring.optimize import add_measurements
from calotype.scoring.pipeline import Pipeline
from calotype.scoring.precision import open_runtime
from calotype.scoring.runtimes import Batch, Features, Outputs
from calotype.scoring.scorer import softmax

_MOST_IMAGES = 5000  # one number and 1,000 neighbours need no more


def finish(
    model: ImageModel, validation: ImageDirectory, *, progress: Progress = SILENCE
) -> ImageModel:
    """Calibrate a trained model, let it know its validation images, and measure its precisions.

    The validation images go through the fp32 network, once for all but the precisions, prepared as
    the model prepares images whatever transformation was applied to them. What they are too few for
    is left out: a model without temperature is not calibrated, one without `novelty.npz` measures
    no novelty.

    Args:
        model: a trained model; its folder is changed.
        validation: images that it was not trained on; labelled ones let it be calibrated.
        progress: is told how far the work is.

    Returns:
        The model as it now is.
    """
    seen = _look(model, validation, progress)
    if len(seen.outputs):
        model = _remember(_calibrate(model, seen), seen)
        model = _add_novelty(model, seen)
        model = add_measurements(model, validation)
    return model


@dataclass(frozen=True)
class _Seen:
    """What the network says about the images that could be read.

    Attributes:
        outputs: logits or probabilities, shape (images, classes).
        features: shape (images, channels); None for a network without.
        targets: index of each image's class, shape (images,); -1 for none that the model knows.
    """

    outputs: NDArray[np.float32]
    features: NDArray[np.float32] | None
    targets: NDArray[np.int64]


def _look(model: ImageModel, validation: ImageDirectory, progress: Progress) -> _Seen:
    has_features = model.description.inner_outputs is not None
    threads = usable_cores()
    runtime = open_runtime(model, precision="fp32", threads=threads, with_features=has_features)

    def infer(batch: Batch) -> tuple[Outputs, Features | None]:
        return runtime.infer_with_features(batch) if has_features else (runtime.infer(batch), None)

    pipeline = Pipeline(Preprocessor(model.preprocessing), infer, runtime.batch_size, threads)
    step = -(-len(validation) // _MOST_IMAGES) or 1
    indices = {name: index for index, name in enumerate(model.classes)}
    outputs = [np.empty((0, len(model.classes)), np.float32)]
    features: list[Features] = []
    targets: list[int] = []
    progress.begin("calibrating", total=-(-len(validation) // step), unit="images")
    try:
        for few in pipeline.run(validation, step=step):
            progress.advance(len(few.entries) + len(few.failures))
            if few.result is None:
                continue
            outputs.append(few.result[0])
            if few.result[1] is not None:
                features.append(few.result[1])
            targets += [indices.get(entry.category or "", -1) for entry in few.entries]
    finally:
        progress.end()
    return _Seen(
        np.concatenate(outputs),
        np.concatenate(features) if features else None,
        np.array(targets, np.int64),
    )


def _calibrate(model: ImageModel, seen: _Seen) -> ImageModel:
    is_known = seen.targets >= 0
    if model.description.output != "logits" or not is_known.any():
        return model
    logits, targets = seen.outputs[is_known], seen.targets[is_known]
    temperature = fit_temperature(logits, targets)
    metrics: dict[str, Any] = {
        "ece_before_calibration": _calibration_error(logits, targets, 1.0),
        "ece": _calibration_error(logits, targets, temperature or 1.0),
    }
    return model.with_description(temperature=temperature, metrics={**model.metrics, **metrics})


def _remember(model: ImageModel, seen: _Seen) -> ImageModel:
    """Keep what the model predicts for validation images: use is compared with it later."""
    is_logits = model.description.output == "logits"
    probabilities = (
        softmax(seen.outputs, temperature=model.description.temperature or 1.0)
        if is_logits
        else seen.outputs
    )
    found = ValidationPredictions.of(probabilities, model.classes)
    return model.with_description(training=found.added_to(model.description.training))


def _calibration_error(
    logits: NDArray[np.float32], targets: NDArray[np.int64], temperature: float
) -> float:
    probabilities = softmax(logits, temperature=temperature)
    confidence = probabilities.max(axis=1).astype(np.float64)
    return expected_calibration_error(confidence, probabilities.argmax(axis=1) == targets)


def _add_novelty(model: ImageModel, seen: _Seen) -> ImageModel:
    statistic = (
        NoveltyStatistic.of_outputs(seen.outputs)
        if seen.features is None
        else NoveltyStatistic.of_features(seen.features)
    )
    if statistic is None:
        return model
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / NOVELTY
        statistic.save(path)
        return model.with_file(NOVELTY, path)
