"""Batches: every image once, the same whatever the threads, others in the next epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from small_digits import SMALL, write_digits

from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Preprocessing, Preprocessor
from calotype.images.transformation import Transformation
from calotype.training.augmentation import Augmentation
from calotype.training.batches import Batch, Drawing, LabeledImages

PREPROCESSING = Preprocessing.of_transformation(SMALL, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
RANDOM = SMALL.model_copy(update={"random_rotation": True, "random_rotation_degrees": 20})


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def images_of(directory: ImageDirectory) -> LabeledImages:
    return LabeledImages.of(
        directory,
        directory.categories,
        reader=directory.reader(),
        preprocessor=Preprocessor(PREPROCESSING),
    )


@pytest.fixture
def few(digits: Callable[[str], ImageDirectory]) -> Iterator[LabeledImages]:
    images = images_of(digits("few"))
    with images.reader:
        yield images


def training(
    images: LabeledImages,
    pool: ThreadPoolExecutor,
    *,
    size: int = 16,
    seed: int = 1,
    epoch: int = 1,
    start: int = 0,
    transformation: Transformation = RANDOM,
) -> list[Batch]:
    augmented = Augmentation(transformation, PREPROCESSING)
    drawing = Drawing(size=size, seed=seed)
    return list(
        images.training_batches(pool, augmented, drawing, epoch=epoch, varied_as=epoch, start=start)
    )


def digest(batches: list[Batch]) -> bytes:
    return b"".join(batch.inputs.numpy().tobytes() for batch in batches)


def test_evaluation_gives_every_image_once_in_order_as_scoring_sees_it(
    few: LabeledImages, pool: ThreadPoolExecutor
) -> None:
    batches = list(few.evaluation_batches(pool, size=16))
    assert [len(batch.targets) for batch in batches] == [16, 16, 8]
    assert torch.cat([batch.targets for batch in batches]).tolist() == few.targets.tolist()
    expected = np.empty((40, 3, 32, 32), np.float32)
    for index in range(40):
        few.preprocessor.load(few.file(index), expected[index])
    assert np.array_equal(torch.cat([batch.inputs for batch in batches]).numpy(), expected)


def test_targets_are_the_places_of_the_categories(few: LabeledImages) -> None:
    for entry, target in zip(few.entries, few.targets, strict=True):
        assert entry.category == str(target)


def test_an_epoch_gives_every_image_once(few: LabeledImages, pool: ThreadPoolExecutor) -> None:
    batches = training(few, pool, transformation=SMALL)
    seen = Counter(row.numpy().tobytes() for batch in batches for row in batch.inputs)
    still = few.evaluation_batches(pool, size=16)
    assert seen == Counter(row.numpy().tobytes() for batch in still for row in batch.inputs)


def test_augmented_images_keep_their_targets(few: LabeledImages, pool: ThreadPoolExecutor) -> None:
    target_of = {
        row.numpy().tobytes(): int(target)
        for batch in few.evaluation_batches(pool, size=16)
        for row, target in zip(batch.inputs, batch.targets, strict=True)
    }
    for batch in training(few, pool, transformation=SMALL):
        for row, target in zip(batch.inputs, batch.targets, strict=True):
            assert target_of[row.numpy().tobytes()] == int(target)


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_the_threads_do_not_matter(
    few: LabeledImages, pool: ThreadPoolExecutor, threads: int
) -> None:
    with ThreadPoolExecutor(threads) as other:
        assert digest(training(few, other)) == digest(training(few, pool))


def test_the_batch_size_does_not_matter_to_the_pictures(
    few: LabeledImages, pool: ThreadPoolExecutor
) -> None:
    assert digest(training(few, pool, size=8)) == digest(training(few, pool, size=20))


def test_another_epoch_and_another_seed_give_other_pictures(
    few: LabeledImages, pool: ThreadPoolExecutor
) -> None:
    runs = [training(few, pool, seed=s, epoch=e) for s, e in ((1, 1), (1, 2), (2, 1), (2, 2))]
    assert len({digest(run) for run in runs}) == 4
    orders = {tuple(torch.cat([b.targets for b in run]).tolist()) for run in runs}
    assert len(orders) == 4


@pytest.mark.parametrize(
    ("size", "expected"),
    [(16, [16, 16, 8]), (40, [40]), (39, [39]), (13, [13, 13, 13]), (20, [20, 20]), (1, [1] * 40)],
)
def test_a_last_batch_of_one_is_left_out(
    few: LabeledImages, pool: ThreadPoolExecutor, size: int, expected: list[int]
) -> None:
    assert [len(batch.targets) for batch in training(few, pool, size=size)] == expected
    assert few.batch_count(size) == len(expected)


def test_unreadable_images_are_left_out_and_remembered(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    folder = write_digits(tmp_path / "files", range(12))
    bad = sorted(folder.rglob("*.png"))[:3]
    for path in bad:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) - 30])
    images = images_of(convert(folder, tmp_path / "images"))
    assert len(images) == 12
    assert sum(len(batch.targets) for batch in training(images, pool, size=4)) == 9
    names = {str(path.relative_to(folder)) for path in bad}
    assert images.unreadable == names
    assert sum(len(b.targets) for b in images.evaluation_batches(pool, size=4)) == 9
    assert images.unreadable == names


def test_a_batch_that_unreadable_images_leave_alone_is_left_out(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    folder = write_digits(tmp_path / "files", range(6))
    for path in sorted(folder.rglob("*.png"))[:5]:
        path.write_bytes(path.read_bytes()[:-30])
    images = images_of(convert(folder, tmp_path / "images"))
    assert training(images, pool, size=3) == []
    assert [len(batch.targets) for batch in training(images, pool, size=1)] == [1]
    (batch,) = images.evaluation_batches(pool, size=3)
    assert len(batch.targets) == 1


def test_images_without_a_known_category_are_left_out(
    digits: Callable[[str], ImageDirectory],
) -> None:
    directory = digits("few")
    images = LabeledImages.of(
        directory,
        ["3", "7"],
        reader=directory.reader(),
        preprocessor=Preprocessor(PREPROCESSING),
    )
    assert {entry.category for entry in images.entries} == {"3", "7"}
    assert set(images.targets.tolist()) == {0, 1}
