"""int8 of a network that was trained here: as accurate as it promises, and scored as measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_digits import SMALL

from calotype.images.image_directory import ImageDirectory
from calotype.scoring import agreement
from calotype.scoring.agreement import Sample
from calotype.scoring.optimize import add_int8
from calotype.training.parameters import Network, TrainingParameters
from calotype.training.train import train


@pytest.mark.slow
def test_a_trained_network_keeps_its_accuracy_in_int8(
    digits: Callable[[str], ImageDirectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def speeds(*_: object) -> tuple[float, float]:
        return 100.0, 200.0  # so that a busy machine does not refuse it

    monkeypatch.setattr(agreement, "speeds", speeds)
    model = train(
        Network(architecture="resnet18", pretrained="none"),
        digits("learn"),
        digits("check"),
        tmp_path / "model",
        transformation=SMALL,
        parameters=TrainingParameters(epochs=4, learning_rate=0.05),
    )
    check = digits("check")
    optimized = add_int8(model, check, max_accuracy_drop=0.06)
    (measured,) = optimized.description.precisions.values()
    assert measured.images == 50  # the other half gave the ranges
    assert measured.layers == 21
    assert len(measured.kept_layers) <= 10
    assert measured.accuracy is not None
    assert measured.fp32_accuracy is not None
    assert measured.fp32_accuracy >= 0.7
    assert measured.accuracy >= 0.6
    labels = agreement.labels_of(optimized, check, "int8", Sample(1, 2))
    assert labels.accuracy == measured.accuracy
    optimized.verify()
