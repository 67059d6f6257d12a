"""Preprocessing equals torchvision's, and stays inside its memory whatever the shape."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage
import sklearn.datasets
import torch
from PIL import Image
from torchvision import transforms

from calotype.images.decode import Picture
from calotype.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, Preprocessor
from calotype.images.transformation import Transformation

ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def photographs() -> list[Image.Image]:
    folder = Path(skimage.__file__).parent / "data"
    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png")
    ours = [Image.open(folder / name).convert("RGB") for name in names]
    return ours + [Image.fromarray(one) for one in sklearn.datasets.load_sample_images().images]


def preprocessed(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    out = np.empty((3, *preprocessing.input_size), np.float32)
    preprocessor = Preprocessor(preprocessing)
    preprocessor.normalize(preprocessor.crop(Picture(image, image.size)), out)
    return out


def torchvision_of(
    wanted: Transformation, mean: tuple[float, ...], std: tuple[float, ...]
) -> Callable[[Image.Image], torch.Tensor]:
    steps: list[object] = []
    if wanted.resize:
        steps.append(transforms.Resize(wanted.size))
    if wanted.center_crop:
        steps.append(transforms.CenterCrop(wanted.crop_size))
    if wanted.pad:
        steps.append(transforms.Pad(wanted.padding))
    if wanted.grayscale:
        steps.append(transforms.Grayscale(3))
    return transforms.Compose(  # pyright: ignore[reportReturnType] - it gives tensors
        [*steps, transforms.ToTensor(), transforms.Normalize(mean, std)]
    )


@pytest.mark.parametrize(
    "wanted",
    [
        Transformation(),
        Transformation(size=232, crop_size=224),
        Transformation(size=64, crop_size=57),
        Transformation(size=33, crop_size=32, grayscale=True),
        Transformation(pad=True, padding=5),
        Transformation(resize=False, crop_size=301),
        Transformation(size=100, crop_size=160),  # a crop larger than the image: black borders
        Transformation(size=101, crop_size=150, pad=True, padding=3, grayscale=True),
    ],
    ids=str,
)
def test_it_equals_torchvision_within_one_gray_level(wanted: Transformation) -> None:
    reference = torchvision_of(wanted, ZERO, ONE)
    preprocessing = Preprocessing.of_transformation(wanted, mean=ZERO, std=ONE)
    for image in photographs():
        difference = np.abs(preprocessed(image, preprocessing) - reference(image).numpy())
        assert difference.max() <= 1 / 255 + 1e-6
        assert difference.mean() < 0.01 / 255


def test_normalization_equals_torchvisions() -> None:
    reference = torchvision_of(Transformation(resize=False), IMAGENET_MEAN, IMAGENET_STD)
    preprocessing = Preprocessing.of_transformation(
        Transformation(resize=False), mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    for image in photographs():
        assert np.abs(preprocessed(image, preprocessing) - reference(image).numpy()).max() < 1e-5


def test_a_smaller_decoding_differs_by_a_fraction_of_a_gray_level() -> None:
    preprocessing = Preprocessing(resize=64, crop_height=56, crop_width=56, mean=ZERO, std=ONE)
    for photograph in photographs():
        buffer = io.BytesIO()
        photograph.resize((1200, 900)).save(buffer, "JPEG", quality=90)
        exact, quick = (np.empty((3, 56, 56), np.float32) for _ in range(2))
        Preprocessor(preprocessing, exact_decode=True).load(buffer.getvalue(), exact)
        Preprocessor(preprocessing).load(buffer.getvalue(), quick)
        assert 0 < np.abs(exact - quick).max() < 16 / 255
        assert np.abs(exact - quick).mean() < 0.4 / 255


def test_channel_order_and_layout_are_as_asked() -> None:
    image = Image.new("RGB", (8, 8), (255, 0, 51))
    plain = Preprocessing(resize=None, crop_height=4, crop_width=6, mean=ZERO, std=ONE)
    bgr_last = plain.model_copy(update={"channel_order": "BGR", "layout": "NHWC"})
    out = np.empty(bgr_last.input_shape(1)[1:], np.float32)
    preprocessor = Preprocessor(bgr_last)
    preprocessor.normalize(preprocessor.crop(Picture(image, image.size)), out)
    assert out.shape == (4, 6, 3)
    assert out[0, 0] == pytest.approx([0.2, 0.0, 1.0], abs=1e-6)
    assert preprocessed(image, plain)[:, 0, 0] == pytest.approx([1.0, 0.0, 0.2], abs=1e-6)


def test_very_long_and_thin_pictures_cost_no_more_memory_than_their_crop() -> None:
    for size in ((30_000, 1), (1, 30_000), (1, 1)):
        out = preprocessed(Image.new("RGB", size, "white"), Preprocessing(mean=ZERO, std=ONE))
        assert out.shape == (3, 224, 224)
        assert out.max() == pytest.approx(1.0)


def test_without_a_center_crop_a_square_is_cut() -> None:
    wanted = Transformation(center_crop=False, size=96)
    assert Preprocessing.of_transformation(wanted, mean=ZERO, std=ONE).input_size == (96, 96)
    neither = Transformation(center_crop=False, resize=False, random_crop=True, random_crop_size=48)
    assert Preprocessing.of_transformation(neither, mean=ZERO, std=ONE).input_size == (48, 48)


def test_padding_is_part_of_the_input_size() -> None:
    wanted = Transformation(pad=True, padding=4)
    assert Preprocessing.of_transformation(wanted, mean=ZERO, std=ONE).input_size == (232, 232)


def test_threads_share_one_preprocessor() -> None:
    from concurrent.futures import ThreadPoolExecutor

    preprocessing = Preprocessing(mean=ZERO, std=ONE)
    images = photographs() * 4
    alone = [preprocessed(image, preprocessing) for image in images]
    preprocessor = Preprocessor(preprocessing)

    def one(image: Image.Image) -> np.ndarray:
        out = np.empty((3, 224, 224), np.float32)
        preprocessor.normalize(preprocessor.crop(Picture(image, image.size)), out)
        return out

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(one, images))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
