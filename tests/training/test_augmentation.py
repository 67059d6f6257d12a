"""Augmentation: each random step by itself, and what training has in common with scoring."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import v2

from calotype.images.decode import Picture
from calotype.images.preprocess import Preprocessing, Preprocessor
from calotype.images.transformation import Transformation
from calotype.training import augmentation
from calotype.training.augmentation import Augmentation

functional: Any = v2.functional  # annotated for tensors alone

Pixels = NDArray[np.uint8]
Random = np.random.Generator
WIDTH, HEIGHT = 40, 30
NOTHING = {"resize": False, "center_crop": False, "random_horizontal_flip": False}
RANDOM_STEPS: dict[str, dict[str, Any]] = {
    "color_jitter": {},
    "random_resized_crop": {"random_size": 24},
    "random_crop": {"random_crop_size": 24},
    "random_horizontal_flip": {},
    "random_vertical_flip": {},
    "random_rotation": {"random_rotation_degrees": 90},
    "random_affine": {"random_affine_degrees": 90},
    "random_grayscale": {},
    "random_perspective": {},
    "random_erasing": {},
}


def picture(width: int = WIDTH, height: int = HEIGHT) -> Picture:
    """Return noise, so that no two pixels are alike and none is black."""
    noise = np.random.default_rng(5).integers(1, 256, (height, width, 3), np.uint8)
    return Picture(Image.fromarray(noise), (width, height))


def augmentation_of(**parameters: Any) -> Augmentation:
    transformation = Transformation.of(parameters)
    preprocessing = Preprocessing.of_transformation(
        transformation, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )
    return Augmentation(transformation, preprocessing)


def alone(step: str, **parameters: Any) -> Augmentation:
    """Return the step `step` on pictures that are cut to 30 x 30 pixels and else left alone."""
    switches = NOTHING | {"center_crop": True, "crop_size": HEIGHT}
    if step in ("random_resized_crop", "random_crop"):
        switches = NOTHING
    return augmentation_of(**switches | {step: True} | RANDOM_STEPS[step] | parameters)


def center() -> Pixels:
    """Return what `alone` begins with."""
    return np.asarray(picture().image)[:, 5:35]


def apply(augmented: Augmentation, of: Picture, random: np.random.Generator) -> Pixels:
    return augmented.vary(augmented.prepare(of), random)


def draws(
    augmented: Augmentation, *, count: int = 2000, of: Picture | None = None
) -> Iterator[Pixels]:
    source = of or picture()
    for seed in range(count):
        yield apply(augmented, source, np.random.default_rng(seed))


class TestSteps:
    def test_a_horizontal_flip_mirrors_half_of_the_images(self) -> None:
        plain, mirrored = center(), center()[:, ::-1]
        flips = 0
        for pixels in draws(alone("random_horizontal_flip")):
            is_flipped = np.array_equal(pixels, mirrored)
            assert is_flipped or np.array_equal(pixels, plain)
            flips += is_flipped
        assert flips / 2000 == pytest.approx(0.5, abs=0.05)

    def test_a_vertical_flip_turns_half_of_them_upside_down(self) -> None:
        plain, turned = center(), center()[::-1]
        flips = 0
        for pixels in draws(alone("random_vertical_flip")):
            is_flipped = np.array_equal(pixels, turned)
            assert is_flipped or np.array_equal(pixels, plain)
            flips += is_flipped
        assert flips / 2000 == pytest.approx(0.5, abs=0.05)

    def test_a_tenth_of_them_becomes_gray(self) -> None:
        expected = np.asarray(functional.rgb_to_grayscale(Image.fromarray(center()), 3))
        grays = 0
        for pixels in draws(alone("random_grayscale")):
            is_gray = np.array_equal(pixels, expected)
            assert is_gray or np.array_equal(pixels, center())
            grays += is_gray
        assert grays / 2000 == pytest.approx(0.1, abs=0.03)

    @pytest.mark.parametrize("step", ["random_rotation", "random_affine"])
    @pytest.mark.parametrize("degrees", [0, 10, 90, 180])
    def test_angles_lie_to_either_side(self, step: str, degrees: int) -> None:
        """A point that starts right of the centre tells by how much it was turned."""
        image = np.zeros((101, 101, 3), np.uint8)
        image[50 - 1 : 50 + 2, 90 - 1 : 90 + 2] = 255
        turned = alone(step, crop_size=101, **{f"{step}_degrees": degrees})
        angles: list[float] = []
        for pixels in draws(turned, count=300, of=Picture(Image.fromarray(image), (101, 101))):
            rows, columns = np.nonzero(pixels[..., 0])
            angles.append(np.degrees(np.arctan2(50 - rows.mean(), columns.mean() - 50)))
        assert np.abs(angles).max() <= degrees + 1
        assert np.abs(angles).max() >= 0.9 * degrees
        assert np.mean(angles) == pytest.approx(0, abs=0.2 * degrees + 1e-9)

    def test_a_rotation_is_torchvisions(self) -> None:
        random = np.random.default_rng(3)
        expected = functional.rotate(
            Image.fromarray(center()), np.random.default_rng(3).uniform(-90, 90)
        )
        assert np.array_equal(
            apply(alone("random_rotation"), picture(), random), np.asarray(expected)
        )

    def test_a_random_crop_is_a_part_of_the_picture_and_reaches_every_edge(self) -> None:
        whole = np.asarray(picture().image)
        places: set[tuple[int, int]] = set()
        for pixels in draws(alone("random_crop")):
            assert pixels.shape == (24, 24, 3)
            (top,), (left,) = np.nonzero((whole == pixels[0, 0]).all(axis=2))
            assert np.array_equal(pixels, whole[top : top + 24, left : left + 24])
            places.add((int(top), int(left)))
        assert len(places) > 0.99 * (HEIGHT - 24 + 1) * (WIDTH - 24 + 1)

    def test_areas_and_aspects_of_resized_crops(self) -> None:
        boxes = [
            augmentation._random_box(picture(400, 300).image, np.random.default_rng(seed))  # pyright: ignore[reportPrivateUsage]
            for seed in range(2000)
        ]
        left, top, width, height = np.array(boxes).T
        assert (left >= 0).all()
        assert (top >= 0).all()
        assert (left + width <= 400).all()
        assert (top + height <= 300).all()
        areas, aspects = width * height / (400 * 300), width / height
        assert areas.min() == pytest.approx(0.08, abs=0.01)
        assert areas.max() > 0.9
        assert aspects.min() == pytest.approx(3 / 4, abs=0.02)
        assert aspects.max() == pytest.approx(4 / 3, abs=0.02)
        # As torchvision draws them, over many draws.
        torch.manual_seed(0)
        theirs = np.array(
            [
                v2.RandomResizedCrop.make_params(
                    v2.RandomResizedCrop(24), [torch.empty(3, 300, 400)]
                )["height"]
                for _ in range(300)
            ]
        )
        assert height.mean() == pytest.approx(theirs.mean(), rel=0.05)

    def test_a_resized_crop_is_torchvisions(self) -> None:
        random = np.random.default_rng(9)
        left, top, width, height = augmentation._random_box(  # pyright: ignore[reportPrivateUsage]
            picture().image, np.random.default_rng(9)
        )
        expected = picture().image.crop((left, top, left + width, top + height))
        expected = expected.resize((24, 24), Image.Resampling.BILINEAR)
        got = apply(alone("random_resized_crop"), picture(), random)
        assert np.array_equal(got, np.asarray(expected))

    @pytest.mark.parametrize(("width", "height"), [(400, 10), (10, 400)])
    def test_a_crop_of_a_strip_comes_from_its_middle(self, width: int, height: int) -> None:
        left, top, wide, tall = augmentation._random_box(  # pyright: ignore[reportPrivateUsage]
            picture(width, height).image, np.random.default_rng(1)
        )
        assert left + wide / 2 == pytest.approx(width / 2, abs=0.5)
        assert top + tall / 2 == pytest.approx(height / 2, abs=0.5)
        assert wide / tall == pytest.approx(4 / 3 if width > height else 3 / 4, abs=0.1)

    def test_colours_change_by_forty_percent_at_most(self) -> None:
        gray = Picture(Image.new("RGB", (WIDTH, HEIGHT), (100, 100, 100)), (WIDTH, HEIGHT))
        # Contrast and saturation leave an even gray as it is: brightness shows alone.
        values = [int(one[0, 0, 0]) for one in draws(alone("color_jitter"), count=500, of=gray)]
        assert 59 <= min(values) <= 62
        assert 138 <= max(values) <= 141
        assert np.mean(values) == pytest.approx(100, abs=4)

    def test_contrast_and_saturation_change_too(self) -> None:
        half = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
        half[:, WIDTH // 2 :] = (180, 120, 120)
        source = Picture(Image.fromarray(half), (WIDTH, HEIGHT))
        contrasts: list[float] = []
        saturations: list[float] = []
        for pixels in draws(alone("color_jitter"), count=300, of=source):
            dark, (red, green, _) = pixels[0, 0].astype(float), pixels[0, -1].astype(float)
            contrasts.append((green - dark[0]) / max(dark[0], 1))
            saturations.append((red - green) / red)
        assert np.std(contrasts) > 0.1
        assert np.std(saturations) > 0.03

    def test_half_of_the_perspectives_are_moved(self) -> None:
        moved = sum(
            not np.array_equal(pixels, center())
            for pixels in draws(alone("random_perspective"), count=600)
        )
        assert moved / 600 == pytest.approx(0.5, abs=0.08)

    def test_a_perspective_keeps_its_corners_within_half_of_the_way_to_the_centre(self) -> None:
        white = Picture(Image.new("RGB", (HEIGHT, HEIGHT), "white"), (HEIGHT, HEIGHT))
        shares = [
            float((pixels > 127).mean())
            for pixels in draws(alone("random_perspective"), count=300, of=white)
        ]
        assert min(shares) > 0.2
        assert min(shares) < 0.75
        middle = HEIGHT // 2
        assert all(
            one[middle, middle].min() > 200
            for one in draws(alone("random_perspective"), count=100, of=white)
        )

    def test_half_of_the_images_lose_a_rectangle(self) -> None:
        areas: list[float] = []
        for pixels in draws(alone("random_erasing")):
            black = (pixels == 0).all(axis=2)
            if not black.any():
                assert np.array_equal(pixels, center())
                continue
            rows, columns = np.nonzero(black)
            tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
            assert black.sum() == tall * wide  # a whole rectangle
            assert np.array_equal(pixels[~black], center()[~black])
            assert 0.22 < tall / wide < 4.5  # 0.3 to 3.3, in whole pixels
            areas.append(tall * wide / black.size)
        assert len(areas) / 2000 == pytest.approx(0.5, abs=0.05)
        assert min(areas) == pytest.approx(0.02, abs=0.01)
        assert max(areas) == pytest.approx(0.33, abs=0.03)


EVERYTHING = NOTHING | {step: True for step in RANDOM_STEPS}
for _more in RANDOM_STEPS.values():
    EVERYTHING.update(_more)


class TestDraws:
    def test_the_same_draws_make_the_same_pixels(self) -> None:
        first = apply(augmentation_of(**EVERYTHING), picture(), np.random.default_rng((1, 2, 3)))
        again = apply(augmentation_of(**EVERYTHING), picture(), np.random.default_rng((1, 2, 3)))
        assert np.array_equal(first, again)

    @pytest.mark.parametrize("step", RANDOM_STEPS)
    def test_other_draws_make_other_pixels(self, step: str) -> None:
        assert len({pixels.tobytes() for pixels in draws(alone(step), count=100)}) > 1

    def test_the_picture_itself_is_left_alone(self) -> None:
        source = picture()
        apply(augmentation_of(**EVERYTHING), source, np.random.default_rng(1))
        assert np.array_equal(np.asarray(source.image), np.asarray(picture().image))

    def test_the_global_generators_are_left_alone(self) -> None:
        torch.manual_seed(4)
        expected = torch.rand(1)
        torch.manual_seed(4)
        for _ in draws(augmentation_of(**EVERYTHING), count=20):
            pass
        assert torch.rand(1).equal(expected)


class TestSizes:
    @pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 3), (5, 400), (400, 5)])
    @pytest.mark.parametrize("step", RANDOM_STEPS)
    def test_no_image_is_too_small(self, step: str, size: tuple[int, int]) -> None:
        for pixels in draws(alone(step), count=30, of=picture(*size)):
            assert pixels.shape in ((24, 24, 3), (HEIGHT, HEIGHT, 3))
            assert pixels.dtype == np.uint8

    def test_a_small_image_gets_a_border_rather_than_an_error(self) -> None:
        (pixels,) = draws(alone("random_crop"), count=1, of=picture(10, 40))
        assert not pixels[:, :7].any()
        assert not pixels[:, -7:].any()
        assert pixels[:, 7:17].all()


class TestTogetherWithPreprocessing:
    """Without random steps training sees exactly what scoring sees."""

    @pytest.mark.parametrize(
        "parameters",
        [
            {},
            {"center_crop": False},
            {"resize": False},
            {"resize": False, "center_crop": False},
            {"pad": True, "padding": 3},
            {"center_crop": False, "pad": True, "padding": 3},
            {"grayscale": True},
            {"center_crop": False, "grayscale": True},
            {"center_crop": False, "grayscale": True, "pad": True, "padding": 2},
            {"size": 20, "crop_size": 33},
        ],
    )
    @pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (31, 90), (12, 12)])
    def test_it_does_the_same(self, parameters: dict[str, Any], size: tuple[int, int]) -> None:
        wanted = {"size": 32, "crop_size": 28, "random_horizontal_flip": False} | parameters
        transformation = Transformation.of(wanted)
        preprocessing = Preprocessing.of_transformation(
            transformation, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
        )
        expected = Preprocessor(preprocessing).crop(picture(*size))
        augmented = Augmentation(transformation, preprocessing)
        assert np.array_equal(apply(augmented, picture(*size), np.random.default_rng(0)), expected)
        assert expected.shape[:2] == preprocessing.input_size

    @pytest.mark.parametrize("step", ["random_crop", "random_resized_crop"])
    def test_padding_and_gray_come_before_a_random_crop(self, step: str) -> None:
        wanted = NOTHING | {step: True, **RANDOM_STEPS[step], "grayscale": True}
        for parameters in ({}, {"resize": True, "size": 20}):
            augmented = augmentation_of(**wanted | {"pad": True, "padding": 30} | parameters)
            all_pixels = np.stack(list(draws(augmented, count=40)))
            assert (all_pixels[..., 0] == all_pixels[..., 1]).all()
            assert 0.2 < (all_pixels == 0).mean() < 0.999

    @pytest.mark.parametrize(
        ("changes", "side"),
        [
            ({}, 750),
            ({"resize": False}, 3000),
            ({"center_crop": False, "random_crop": True}, 750),
            ({"resize": False, "center_crop": False, "random_crop": True}, 3000),
        ],
    )
    def test_jpegs_are_decoded_as_large_as_scoring_decodes_them(
        self, changes: dict[str, Any], side: int
    ) -> None:
        """The next of the sizes 1, 1/2, 1/4 and 1/8 that is at least twice the 256 pixels."""
        buffer = io.BytesIO()
        Image.new("RGB", (3000, 3000)).save(buffer, "JPEG")
        assert augmentation_of(**changes).decode(buffer.getvalue()).image.size == (side, side)
