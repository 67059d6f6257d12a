"""How well a faster precision agrees with fp32, measured through the Scorer on real images."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from calotype import errors
from calotype.images.image_directory import ImageDirectory
from calotype.models.image_model import Agreement, ImageModel
from calotype.scoring.precision import runtime_for
from calotype.scoring.runtimes import Precision
from calotype.scoring.scorer import Scorer

# Two speeds are compared in short rounds, one after the other: what else the machine does slows
# both down. The median of the rounds' ratios does not mind a round in which it slowed one.
_ROUNDS = 5
_ROUND_S = 0.1
_IMAGES_PER_ROUND = 32


@dataclass(frozen=True, slots=True)
class Sample:
    """Every `step`-th image of a directory, from position `start` on."""

    start: int = 0
    step: int = 1

    @classmethod
    def of(cls, images: int, most: int) -> Sample:
        """Return at most `most` of `images` images, taken evenly from all of them."""
        return cls(step=max(1, -(-images // most)))

    def thinned(self, images: int, most: int) -> Sample:
        """Return at most `most` of the sample's images, when the directory has `images`."""
        own = -(-(images - self.start) // self.step)
        return Sample(self.start, self.step * max(1, -(-own // most)))


@dataclass(frozen=True, slots=True)
class Labels:
    """The label that each image got, and the true one where it is known."""

    found: list[str]
    true: list[str | None]

    @property
    def accuracy(self) -> float | None:
        """The share of images with the true label, of those that have one."""
        pairs = zip(self.found, self.true, strict=True)
        known = [found == true for found, true in pairs if true is not None]
        return sum(known) / len(known) if known else None


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
    sample = Sample.of(len(directory), images)
    reference = labels_of(model, directory, "fp32", sample)
    return {
        f"{runtime_for(precision)}:{precision}": with_speeds(
            compare(reference, labels_of(model, directory, precision, sample)),
            speeds(model, directory, precision, sample),
        )
        for precision in precisions
    }


def labels_of(
    model: ImageModel, directory: ImageDirectory, precision: Precision, sample: Sample
) -> Labels:
    """Score a sample.

    Raises:
        InvalidDataset: none of its images can be read.
    """
    scorer = Scorer(model, precision)
    labels = Labels([], [])
    chunks = scorer.chunks(directory, start=sample.start, step=sample.step, ignore_pending=True)
    for chunk in chunks:
        # A category that the model does not know would be wrong in every precision: no measure.
        categories = [entry.category for entry in chunk.entries]
        labels.true.extend(one if one in scorer.classes else None for one in categories)
        labels.found.extend(scorer.classes[index] for index in chunk.probabilities.argmax(axis=1))
    if not labels.found:
        raise errors.InvalidDataset(
            "expected readable images to compare precisions on",
            where=str(directory.path or "images"),
            got="none",
            action="Choose others.",
        )
    return labels


def compare(reference: Labels, other: Labels) -> Agreement:
    """Return how well labels agree with those of fp32; without speeds."""
    equal = sum(a == b for a, b in zip(reference.found, other.found, strict=True))
    return Agreement(
        images=len(reference.found),
        label_agreement=equal / len(reference.found),
        accuracy=other.accuracy,
        fp32_accuracy=reference.accuracy,
    )


def speeds(
    model: ImageModel, directory: ImageDirectory, precision: Precision, sample: Sample
) -> tuple[float, float]:
    """Return the images per second in fp32 and in another precision, measured by turns.

    The second divided by the first is the median of the ratios of all rounds.
    """
    sample = sample.thinned(len(directory), _IMAGES_PER_ROUND)
    scorers = [Scorer(model, "fp32"), Scorer(model, precision)]
    for scorer in scorers:  # not measured: files come into the disk's cache, threads start
        _images_per_s(scorer, directory, sample)
    rounds: list[tuple[float, float]] = []
    for number in range(_ROUNDS):
        turn = [_images_per_s(one, directory, sample) for one in scorers[:: (-1) ** number]]
        first, second = turn[:: (-1) ** number]
        rounds.append((first, second))
    fp32 = statistics.median(first for first, _ in rounds)
    return fp32, fp32 * statistics.median(second / first for first, second in rounds)


def _images_per_s(scorer: Scorer, directory: ImageDirectory, sample: Sample) -> float:
    images, started_s, passed_s = 0, time.perf_counter(), 0.0
    while passed_s < _ROUND_S:
        chunks = scorer.chunks(directory, start=sample.start, step=sample.step, ignore_pending=True)
        images += sum(chunk.images for chunk in chunks)
        passed_s = time.perf_counter() - started_s
    return images / passed_s


def with_speeds(found: Agreement, measured: tuple[float, float]) -> Agreement:
    """Return an agreement with the images per second in fp32 and in the other precision."""
    fp32, other = (round(one, 2) for one in measured)
    return found.model_copy(update={"fp32_images_per_s": fp32, "images_per_s": other})
