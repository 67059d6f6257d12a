"""What a model remembers of its predictions for validation images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from small_networks import description, save_model

from calotype.images.convert import convert
from calotype.models.validation_predictions import CONFIDENCE_BINS, ValidationPredictions
from calotype.scoring.finish import finish
from calotype.scoring.scorer import Scorer


def test_finishing_a_model_lets_it_remember_what_it_predicts(tmp_path: Path) -> None:
    colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (200, 200, 10), (5, 5, 5)]
    for index, colour in enumerate(colours):
        path = tmp_path / "images" / ("cat" if index % 2 else "dog") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(path)
    model = finish(save_model(tmp_path / "model"), convert(tmp_path / "images", tmp_path / "made"))
    known = ValidationPredictions.of_description(model.description)
    assert known is not None
    labels = Scorer(model).predict(sorted((tmp_path / "images").rglob("*.png"))).labels
    assert dict(known.classes) == {name: list(labels).count(name) for name in model.classes}
    assert sum(known.confidence) == known.images == len(colours)
    assert len(known.confidence) == CONFIDENCE_BINS
    model.verify()


def test_models_that_know_nothing_say_nothing() -> None:
    assert ValidationPredictions.of_description(description()) is None
    broken = {"validation_predictions": {"classes": [1], "confidence": None}}
    assert ValidationPredictions.of_description(description(training=broken)) is None


def test_certain_predictions_lie_in_the_last_bin() -> None:
    found = ValidationPredictions.of(np.array([[0.0, 1.0], [0.98, 0.02]]), ("a", "b"))
    assert (dict(found.classes), found.confidence[-1]) == ({"a": 1, "b": 1}, 2)
