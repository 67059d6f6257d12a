"""Decoded images on disk: what was put there comes back, and nothing stays behind."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_digits import SMALL, write_digits

from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Preprocessing, Preprocessor
from calotype.images.transformation import Transformation
from calotype.training.augmentation import Augmentation
from calotype.training.batches import Drawing, LabeledImages
from calotype.training.pixel_cache import PixelCache


def pixels(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)


def test_images_of_any_shape_come_back(tmp_path: Path) -> None:
    images = [pixels(4 + index, 9, index) for index in range(8)]
    with PixelCache([400] * 8, limit_mb=1, folder=tmp_path) as cache:
        assert cache.get(3) is None
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(cache.put, range(8), images))
        for index, image in enumerate(images):
            kept = cache.get(index)
            assert kept is not None
            assert np.array_equal(kept, image)


def test_no_file_can_be_seen_nor_stays(tmp_path: Path) -> None:
    with PixelCache([100], limit_mb=1, folder=tmp_path) as cache:
        cache.put(0, pixels(5, 5))
        assert list(tmp_path.iterdir()) == []
        kept = cache.get(0)
    assert cache.get(0) is None
    assert kept is not None
    assert np.array_equal(kept, pixels(5, 5))  # who holds an image may go on using it


def test_what_does_not_fit_is_left_out_and_the_rest_is_kept(tmp_path: Path) -> None:
    size = 400_000  # two fit into one megabyte
    with PixelCache([size] * 4, limit_mb=1, folder=tmp_path) as cache:
        for index in range(4):
            cache.put(index, pixels(300, 400))
        assert [cache.get(index) is not None for index in range(4)] == [True, True, False, False]


def test_an_image_larger_than_its_header_said_is_left_out(tmp_path: Path) -> None:
    with PixelCache([75, 75], limit_mb=1, folder=tmp_path) as cache:
        cache.put(0, pixels(6, 6))
        cache.put(1, pixels(5, 5))
        assert cache.get(0) is None
        assert cache.get(1) is not None


def test_without_space_it_keeps_nothing() -> None:
    with PixelCache([75], limit_mb=0) as cache:
        cache.put(0, pixels(5, 5))
        assert cache.get(0) is None


def test_a_full_disk_or_a_missing_folder_only_takes_the_cache_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PixelCache([75], limit_mb=1, folder=tmp_path / "none") as cache:
        cache.put(0, pixels(5, 5))
        assert cache.get(0) is None

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with PixelCache([75], limit_mb=1, folder=tmp_path) as cache:
        monkeypatch.setattr(os, "pwrite", full)
        cache.put(0, pixels(5, 5))
        assert cache.get(0) is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"center_crop": False, "random_crop": True, "random_crop_size": 24},
        {"center_crop": False, "random_resized_crop": True, "random_size": 24, "pad": True},
    ],
)
def test_later_epochs_need_no_files(tmp_path: Path, changes: dict[str, Any]) -> None:
    transformation = Transformation.of({**SMALL.model_dump(), "padding": 3, **changes})
    preprocessing = Preprocessing.of_transformation(
        transformation, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    files = write_digits(tmp_path / "files", range(30))
    images = convert(files, tmp_path / "images")
    augmentation = Augmentation(transformation, preprocessing)

    def epochs(directory: ImageDirectory, limit_mb: int) -> list[bytes]:
        learn = LabeledImages.of(
            directory,
            directory.categories,
            reader=directory.reader(),
            preprocessor=Preprocessor(preprocessing),
            preparation=augmentation,
            cache=lambda sizes: PixelCache(sizes, limit_mb=limit_mb, folder=tmp_path),
        )
        seen: list[bytes] = []
        with learn.reader, learn.cache, ThreadPoolExecutor(2) as pool:
            for epoch in (1, 2):
                drawing = Drawing(size=10, seed=1)
                batches = learn.training_batches(
                    pool, augmentation, drawing, epoch=epoch, varied_as=epoch
                )
                seen.append(b"".join(batch.inputs.numpy().tobytes() for batch in batches))
                if limit_mb:
                    for path in files.rglob("*.png"):
                        path.unlink()
        return seen

    without = epochs(images, 0)
    assert epochs(images, 4) == without
