"""One training run, measured on images that it never saw, for quality.py."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calotype.evaluation import Evaluation, evaluate
from calotype.evaluation.intervals import Estimate
from calotype.images.transformation import Transformation
from calotype.models.image_model import ImageModel
from calotype.scoring.finish import finish
from calotype.scoring.score import score
from calotype.scoring.scorer import Scorer
from calotype.training.parameters import Network, TrainingParameters
from calotype.training.train import train
from quality_data import Sets

Row = dict[str, float]


@dataclass(frozen=True)
class Trial:
    """What a training run has come to.

    Attributes:
        accuracy: on the test images, with its interval.
        ece: expected calibration error on the test images, without and with the temperature that
            was fitted on the validation images.
        train_s: seconds from the first image to the finished, calibrated model.
        epochs: the metrics of the epochs.
        kept: the number of the epoch that was kept.
        scored: the scored test images.
        report: the evaluation for people.
    """

    accuracy: Estimate
    ece: tuple[float, float]
    train_s: float
    epochs: list[Row]
    kept: int
    scored: Path
    report: Path

    @property
    def fit_s(self) -> float:
        """Seconds that the epochs took."""
        return sum(row["elapsed_s"] for row in self.epochs)

    @property
    def document(self) -> dict[str, Any]:
        """The trial as JSON shows it."""
        return {
            "accuracy": vars(self.accuracy),
            "ece": {"before": self.ece[0], "after": self.ece[1]},
            "train_s": self.train_s,
            "fit_s": self.fit_s,
            "kept_epoch": self.kept,
            "epochs": self.epochs,
            "report": str(self.report),
        }


def run(
    sets: Sets,
    network: Network,
    transformation: Transformation,
    parameters: Mapping[str, Any],
    folder: Path,
) -> Trial:
    """Train, score the test images with and without calibration, and evaluate.

    Args:
        sets: the images.
        network: what to train.
        transformation: what is done to the images.
        parameters: of the training, by name.
        folder: for the model, the scores and the reports.
    """
    started_s = time.monotonic()
    model = train(
        network,
        sets.training,
        sets.validation,
        folder / "model",
        transformation=transformation,
        parameters=TrainingParameters.of(parameters),
    )
    model = finish(model, sets.validation)
    train_s = time.monotonic() - started_s
    before, _ = _measure(model, sets, folder / "uncalibrated", is_calibrated=False)
    after, scored = _measure(model, sets, folder / "calibrated", is_calibrated=True)
    return Trial(
        accuracy=after.sets[0].estimates["overall_accuracy"],
        ece=(before.sets[0].estimates["ece"].value, after.sets[0].estimates["ece"].value),
        train_s=train_s,
        epochs=model.description.training["epoch_metrics"],
        kept=int(model.metrics["best_epoch"]),
        scored=scored,
        report=after.report,
    )


def _measure(
    model: ImageModel, sets: Sets, folder: Path, *, is_calibrated: bool
) -> tuple[Evaluation, Path]:
    scorer = Scorer(model, "fp32", calibrated=is_calibrated)
    scored = score(scorer, sets.test, folder / "scored")
    return evaluate(scored.path, out=folder / "report"), scored.path
