"""How precisions are compared: which images, which labels, and speeds by turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from calotype.images.image_directory import ImageDirectory
from calotype.models.image_model import ImageModel
from calotype.scoring import agreement
from calotype.scoring.agreement import Labels, Sample


@pytest.mark.parametrize(
    ("images", "most", "taken"), [(10, 10, 10), (11, 10, 6), (19, 10, 10), (3, 10, 3), (21, 10, 7)]
)
def test_a_sample_is_even_and_no_larger_than_asked_for(images: int, most: int, taken: int) -> None:
    sample = Sample.of(images, most)
    assert len(range(sample.start, images, sample.step)) == taken


def test_a_sample_is_thinned_within_itself() -> None:
    sample = Sample(start=1, step=2)
    thin = sample.thinned(100, 32)
    positions = set(range(thin.start, 100, thin.step))
    assert len(positions) == 25
    assert positions < set(range(sample.start, 100, sample.step))
    assert sample.thinned(20, 32) == sample


def test_labels_are_compared_with_fp32_and_with_the_truth() -> None:
    true = ["a", "b", None, "a"]
    found = agreement.compare(
        Labels(["a", "b", "a", "b"], list(true)), Labels(["a", "a", "a", "b"], list(true))
    )
    assert (found.images, found.label_agreement) == (4, 0.75)
    assert found.fp32_accuracy == pytest.approx(2 / 3)
    assert found.accuracy == pytest.approx(1 / 3)
    unknown = Labels(["a"], [None])
    assert agreement.compare(unknown, unknown).accuracy is None


def test_speeds_are_measured_by_turns_and_one_disturbed_round_does_not_decide(
    model: ImageModel, photograph_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def measured(scorer: Any, _: ImageDirectory, sample: Sample) -> float:
        precision = scorer.runtime.precision
        order.append(precision)
        if len(order) <= 2:
            return 1.0  # the first ones do not count
        slowed = 100 if 5 <= len(order) <= 6 else 1
        return (200.0 if precision == "int8" else 100.0) / (slowed if precision == "int8" else 1)

    monkeypatch.setattr(agreement, "_images_per_s", measured)
    with ImageDirectory.open(photograph_folder) as images:
        assert agreement.speeds(model, images, "int8", Sample()) == (100, 200)
    assert order[:6] == ["fp32", "int8", "fp32", "int8", "int8", "fp32"]
    assert order.count("fp32") == order.count("int8") == 6


def test_what_is_measured_is_what_the_scorer_does(
    model: ImageModel, photograph_folder: Path
) -> None:
    with ImageDirectory.open(photograph_folder) as images:
        found = agreement.measure(model, images, ["int8"], images=8)
    (measured,) = found.values()
    assert measured.images == 8
    assert measured.accuracy is None  # red, green and blue are no classes of the model
    assert measured.images_per_s is not None
    assert measured.fp32_images_per_s is not None
    assert min(measured.images_per_s, measured.fp32_images_per_s) > 0
