"""How well a faster precision agrees with fp32, measured through the Scorer on real images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from calotype import errors
from calotype.images.image_directory import ImageDirectory
from calotype.models.image_model import Agreement, ImageModel
from calotype.scoring.precision import runtime_for
from calotype.scoring.runtimes import Precision
from calotype.scoring.scorer import Scorer


@dataclass(frozen=True, slots=True)
class _Scored:
    labels: list[str]
    images_per_s: float


def measure(
    model: ImageModel, directory: ImageDirectory, precisions: Sequence[Precision], *, images: int
) -> dict[str, Agreement]:
    """Score the same images in fp32 and in other precisions, and compare.

    The model's own preprocessing counts, whatever transformation was applied to the images.

    Args:
        model: the image model.
        directory: the images; labelled ones give accuracies too.
        precisions: what to compare with fp32.
        images: at most this many, taken evenly from the whole directory.

    Returns:
        The agreement of each, by `<runtime>:<precision>`, as `model.json` stores it.
    """
    step = max(1, len(directory) // images)
    truth, reference = _score(model, directory, "fp32", step)
    found: dict[str, Agreement] = {}
    for precision in precisions:
        _, other = _score(model, directory, precision, step)
        equal = sum(a == b for a, b in zip(reference.labels, other.labels, strict=True))
        found[f"{runtime_for(precision)}:{precision}"] = Agreement(
            images=len(reference.labels),
            label_agreement=equal / len(reference.labels),
            accuracy=_accuracy(other.labels, truth),
            fp32_accuracy=_accuracy(reference.labels, truth),
            images_per_s=round(other.images_per_s, 2),
            fp32_images_per_s=round(reference.images_per_s, 2),
        )
    return found


def _score(
    model: ImageModel, directory: ImageDirectory, precision: Precision, step: int
) -> tuple[list[str | None], _Scored]:
    scorer = Scorer(model, precision)
    started_s = time.perf_counter()
    chunks = scorer.chunks(directory, step=step, ignore_pending=True)
    truth: list[str | None] = []
    labels: list[str] = []
    for chunk in chunks:
        truth.extend(entry.category for entry in chunk.entries)
        labels.extend(scorer.classes[index] for index in chunk.probabilities.argmax(axis=1))
    if not labels:
        raise errors.InvalidDataset("expected readable images", where=str(directory.path))
    return truth, _Scored(labels, len(labels) / (time.perf_counter() - started_s))


def _accuracy(labels: list[str], truth: list[str | None]) -> float | None:
    known = [(label, true) for label, true in zip(labels, truth, strict=True) if true is not None]
    return sum(label == true for label, true in known) / len(known) if known else None
