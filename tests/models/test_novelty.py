"""The novelty statistic: what it says of known and strange features, and its file."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import save_model

from calotype import errors
from calotype.models.image_model import NOVELTY
from calotype.models.novelty import NoveltyStatistic, statistic_of


def clusters(images: int, seed: int, channels: int = 24) -> np.ndarray:
    """Draw features around three centres, as those of three classes lie."""
    centres = np.random.default_rng(0).normal(0, 1, (3, channels))
    random = np.random.default_rng(seed)
    return np.maximum(
        centres[random.integers(3, size=images)] + random.normal(0, 0.3, (images, channels)), 0
    ).astype(np.float32)


def learnt(features: np.ndarray) -> NoveltyStatistic:
    statistic = NoveltyStatistic.of_features(features)
    assert statistic is not None
    return statistic


def test_images_of_the_same_kind_are_evenly_novel() -> None:
    novelty = learnt(clusters(600, 1)).novelty(clusters(2000, 2))
    assert np.quantile(novelty, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.06)


def test_strangers_are_more_novel_than_all_and_never_certain() -> None:
    statistic = learnt(clusters(300, 1))
    strange = -np.random.default_rng(3).random((50, 24)).astype(np.float32)
    novelty = statistic.novelty(strange)
    assert novelty.dtype == np.float32
    assert novelty.min() > 300 / 301
    assert novelty.max() < 1


def test_the_length_of_features_does_not_matter() -> None:
    statistic, features = learnt(clusters(100, 1)), clusters(20, 2)
    novelty = statistic.novelty(features)
    assert novelty == pytest.approx(statistic.novelty(7 * features), abs=1e-4)


def test_an_image_is_measured_by_itself() -> None:
    statistic, features = learnt(clusters(100, 1)), clusters(9, 2)
    together = statistic.novelty(features)
    apart = np.concatenate([statistic.novelty(row[None]) for row in features])
    assert together.tobytes() == apart.tobytes()


def test_at_most_a_thousand_images_are_kept() -> None:
    neighbours = learnt(clusters(2500, 1)).neighbours
    assert neighbours is not None
    assert 800 <= len(neighbours) <= 1000


@given(st.integers(0, 30))
def test_any_number_of_images_will_do(images: int) -> None:
    statistic = NoveltyStatistic.of_features(clusters(images, 1))
    assert (statistic is None) == (images < 2)
    if statistic is not None:
        novelty = statistic.novelty(clusters(5, 2))
        assert ((novelty >= 0) & (novelty < 1)).all()


@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=30, unique=True))
def test_without_features_a_lower_largest_output_is_more_novel(largest: list[float]) -> None:
    outputs = np.array(largest, np.float32)[:, None]
    statistic = NoveltyStatistic.of_outputs(outputs)
    assert statistic is not None
    probes = np.linspace(60, -60, 40, dtype=np.float32)[:, None]
    assert (np.diff(statistic.novelty(probes)) >= 0).all()


def test_equal_features_and_zeros_are_no_trouble() -> None:
    statistic = learnt(np.ones((5, 4), np.float32))
    novelty = statistic.novelty(np.array([[1, 1, 1, 1], [0, 0, 0, 0], [9, 0, 0, 0]], np.float32))
    assert np.isfinite(novelty).all()
    assert novelty[0] < novelty[2] < 1
    assert NoveltyStatistic.of_features(np.full((5, 4), np.nan, np.float32)) is None


def test_what_is_saved_is_read_again_bit_by_bit(tmp_path: Path) -> None:
    for statistic in (learnt(clusters(60, 1)), NoveltyStatistic.of_outputs(clusters(60, 1))):
        assert statistic is not None
        statistic.save(tmp_path / NOVELTY)
        again = NoveltyStatistic.load(tmp_path / NOVELTY)
        assert again.needs_features == statistic.needs_features
        features = clusters(10, 2)
        assert again.novelty(features).tobytes() == statistic.novelty(features).tobytes()


@pytest.mark.parametrize("kind", ["pickle", "text", "empty", "other arrays", "nan", "objects"])
def test_another_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / NOVELTY
    fine = {"neighbours": np.eye(3, dtype=np.float16), "rank": 1, "distances": np.arange(3.0)}
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"neighbours": 1}))
    elif kind in ("text", "empty"):
        path.write_text("numbers" if kind == "text" else "")
    else:
        changed = {
            "other arrays": {"neighbours": np.eye(3)},
            "nan": {"distances": np.array([np.nan])},
            "objects": {"distances": np.array([{}], object)},
        }[kind]
        with path.open("wb") as file:
            np.savez(file, **(fine | changed))  # pyright: ignore[reportArgumentType]
    with pytest.raises(errors.CorruptModel, match=NOVELTY):
        NoveltyStatistic.load(path)


def test_a_model_without_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(errors.WeightsNotFound, match="without novelty") as caught:
        statistic_of(save_model(tmp_path / "model"))
    assert caught.value.number == 162


def test_features_of_a_network_that_gives_none_are_refused(tmp_path: Path) -> None:
    learnt(clusters(10, 1)).save(tmp_path / "statistic")
    model = save_model(tmp_path / "model").with_file(NOVELTY, tmp_path / "statistic")
    with pytest.raises(errors.CorruptModel):
        statistic_of(model)
