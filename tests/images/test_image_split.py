"""Split Image Directory: exact counts, the same choice everywhere, nothing lost or doubled."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype import errors
from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory
from calotype.images.split import allocate, choose, split
from calotype.images.transformation import Transformation

Picture = Callable[..., Path]


class Heard(list[str]):
    """A progress listener that remembers what was said."""

    def begin(self, task: str, *, total: int | None, unit: str) -> None: ...
    def advance(self, count: int = 1, *, note: str = "") -> None: ...
    def end(self) -> None: ...
    def say(self, message: str) -> None:
        self.append(message)


@pytest.fixture
def directory(tmp_path: Path, picture: Picture) -> ImageDirectory:
    """Ten ants, five bees, one cat; no dog."""
    for name, count in (("ants", 10), ("bees", 5), ("cats", 1)):
        for number in range(count):
            picture(tmp_path / "photos" / name / f"{number}.png")
    (tmp_path / "photos/dogs").mkdir()
    return convert(tmp_path / "photos", tmp_path / "images")


def test_both_outputs_have_all_images_in_order(directory: ImageDirectory, tmp_path: Path) -> None:
    first, second = split(directory, tmp_path / "1", tmp_path / "2", fraction=0.75, seed=5)
    ids = [[entry.id for entry in one.entries()] for one in (first, second)]
    assert [len(one) for one in ids] == [12, 4]
    assert sorted(ids[0] + ids[1]) == list(range(16))
    assert all(one == sorted(one) for one in ids)
    whole = {entry.id: entry for entry in directory.entries()}
    for one in (first, second):
        assert all(whole[entry.id] == entry for entry in one.entries())
        assert one.categories == directory.categories
        with one.reader() as reader:
            assert all(reader.read(entry) for entry in one.entries())
    counts = [one.info.counts.categories for one in (first, second)]
    assert counts == [
        {"ants": 7, "bees": 4, "cats": 1, "dogs": 0},
        {"ants": 3, "bees": 1, "cats": 0, "dogs": 0},
    ]
    assert not list((tmp_path / "1").glob("*.tar"))


def test_a_category_that_is_missing_on_one_side_is_told(
    directory: ImageDirectory, tmp_path: Path
) -> None:
    heard = Heard()
    split(directory, tmp_path / "1", tmp_path / "2", fraction=0.75, progress=heard)
    assert heard == ["Warning: the second output has no image of 'cats'."]


def test_the_seed_decides(directory: ImageDirectory, tmp_path: Path) -> None:
    def ids(seed: int) -> list[int]:
        first, _ = split(directory, tmp_path / "1", tmp_path / "2", fraction=0.5, seed=seed)
        return first.ids().tolist()

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)
    first, second = split(directory, tmp_path / "1", tmp_path / "2", fraction=0.5, seed=1)
    assert first.info.fingerprint != second.info.fingerprint


def test_the_choice_is_the_same_on_every_machine() -> None:
    groups = np.arange(1000, dtype=np.int32) % 7
    chosen = np.flatnonzero(choose(groups, fraction=0.3, seed=42))
    assert chosen[:8].tolist() == [4, 8, 15, 17, 25, 27, 28, 32]
    digest = hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()
    assert digest.startswith("38f4bfcc50afb103")


def test_without_stratification_or_labels_it_is_plain(
    directory: ImageDirectory, tmp_path: Path
) -> None:
    first, second = split(directory, tmp_path / "1", tmp_path / "2", fraction=0.5, stratify=False)
    assert (len(first), len(second)) == (8, 8)
    ants = set[int]()
    for seed in range(6):
        outs = tmp_path / "1", tmp_path / "2"
        first, _ = split(directory, *outs, fraction=0.5, stratify=False, seed=seed)
        ants.add(first.info.counts.categories["ants"])
    assert len(ants) > 1  # stratified it would be five each time
    flat = convert(tmp_path / "photos", tmp_path / "flat", labels="none")
    first, second = split(flat, tmp_path / "3", tmp_path / "4", fraction=0.25)
    assert (len(first), len(second)) == (4, 12)


def test_a_pending_transformation_is_kept(directory: ImageDirectory, tmp_path: Path) -> None:
    applied = directory.with_pending(Transformation.of({}), "training", tmp_path / "t")
    first, second = split(applied, tmp_path / "1", tmp_path / "2")
    assert first.pending == second.pending == applied.pending


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 1.5, math.nan, math.inf])
def test_fractions_outside_0_and_1(
    fraction: float, directory: ImageDirectory, tmp_path: Path
) -> None:
    with pytest.raises(errors.NotInRange, match="between 0 and 1") as raised:
        split(directory, tmp_path / "1", tmp_path / "2", fraction=fraction)
    assert raised.value.number == 8


def test_other_parameters_are_checked(
    directory: ImageDirectory, tmp_path: Path, picture: Picture
) -> None:
    with pytest.raises(errors.NotGreaterOrEqual, match="'seed'"):
        split(directory, tmp_path / "1", tmp_path / "2", seed=-1)
    one = convert(picture(tmp_path / "1.png"), tmp_path / "one")
    with pytest.raises(errors.TooFewRows, match="at least two images"):
        split(one, tmp_path / "1", tmp_path / "2")


def test_places_are_checked_before_anything_is_written(
    directory: ImageDirectory, tmp_path: Path
) -> None:
    with pytest.raises(errors.AlreadyExists, match="two different folders"):
        split(directory, tmp_path / "1", tmp_path / "x" / ".." / "1")
    with pytest.raises(errors.AlreadyExists):
        split(directory, tmp_path / "1", tmp_path / "photos")
    with pytest.raises(errors.AlreadyExists):
        split(directory, tmp_path / "1", tmp_path / "images")
    assert not (tmp_path / "1").exists()
    split(directory, tmp_path / "1", tmp_path / "2")
    first, _ = split(directory, tmp_path / "1", tmp_path / "2", fraction=0.5)
    assert len(first) == 8


SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=12).filter(lambda sizes: sum(sizes) > 1)
FRACTIONS = st.floats(0.001, 0.999)


@given(SIZES, FRACTIONS, st.integers(0, 2**64))
def test_exact_counts_for_any_sizes(sizes: list[int], fraction: float, seed: int) -> None:
    groups = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    images = len(groups)
    is_first = choose(groups, fraction=fraction, seed=seed)
    total = int(is_first.sum())
    assert total == min(max(math.floor(images * fraction + 0.5), 1), images - 1)
    counts = Counter(groups[is_first].tolist())
    several = [group for group, size in enumerate(sizes) if size > 1]
    possible = sum(size - 1 if size > 1 else 1 for size in sizes)
    if len(several) <= total <= possible:
        assert all(0 < counts[group] < sizes[group] for group in several)
    assert (choose(groups, fraction=fraction, seed=seed) == is_first).all()


@given(SIZES, FRACTIONS)
def test_shares_are_within_one_image_of_exact_unless_a_side_would_be_empty(
    sizes: list[int], fraction: float
) -> None:
    total = min(max(round(sum(sizes) * fraction), 1), sum(sizes) - 1)
    given_out = allocate(sizes, total=total)
    assert sum(given_out) == total
    exact = [size * total / sum(sizes) for size in sizes]
    if all(1 <= share <= size - 1 for share, size in zip(exact, sizes, strict=True)):
        for share, count in zip(exact, given_out, strict=True):
            assert abs(share - count) < 1


def test_every_image_has_the_same_chance() -> None:
    groups = np.zeros(50, np.int32)
    times = sum(choose(groups, fraction=0.5, seed=seed).astype(int) for seed in range(2000))
    assert np.all(np.abs(np.asarray(times) - 1000) < 150)  # 6.7 standard deviations
