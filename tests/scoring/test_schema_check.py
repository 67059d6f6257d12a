"""Images that do not match the data that the model was trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from calotype import errors
from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Preprocessing
from calotype.images.transformation import Transformation
from calotype.models.image_model import Architecture, ImageModel, ModelDescription
from calotype.scoring.schema_check import check_schema
from calotype.scoring.scorer import applied_preprocessing


@pytest.fixture
def model(tmp_path: Path) -> ImageModel:
    preprocessing = Preprocessing(resize=64, crop_height=56, crop_width=56)
    description = ModelDescription(
        architecture=Architecture(name="resnet18"),
        classes=("a", "b"),
        input_size=preprocessing.input_size,
        preprocessing=preprocessing,
    )
    return ImageModel(tmp_path, description, digest="")


def directory_of(tmp_path: Path, *categories: str) -> ImageDirectory:
    for category in categories or ("",):
        (tmp_path / "photos" / category).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / category / "1.png")
    return convert(tmp_path / "photos", tmp_path / "directory")


def applied(
    directory: ImageDirectory, tmp_path: Path, mode: str = "inference", **values: int
) -> ImageDirectory:
    wanted = Transformation.of({"size": 64, "crop_size": 56, **values})
    return directory.with_pending(wanted, mode, tmp_path / "applied")  # pyright: ignore


def test_equal_categories_and_unlabelled_images_pass(model: ImageModel, tmp_path: Path) -> None:
    assert check_schema(model, directory_of(tmp_path, "a", "b"), mode="strict") == []
    assert check_schema(model, directory_of(tmp_path / "flat"), mode="strict") == []


def test_other_categories_warn_or_fail_as_asked(model: ImageModel, tmp_path: Path) -> None:
    directory = directory_of(tmp_path, "a", "c")
    (unknown, absent) = check_schema(model, directory, mode="warn")
    assert "'c'" in unknown
    assert "'b'" in absent
    assert check_schema(model, directory, mode="off") == []
    with pytest.raises(errors.SchemaMismatch, match="'c'") as caught:
        check_schema(model, directory, mode="strict")
    assert caught.value.number == 125


def test_the_models_own_transformation_is_fused(model: ImageModel, tmp_path: Path) -> None:
    directory = applied(directory_of(tmp_path, "a", "b"), tmp_path)
    assert applied_preprocessing(model, directory) is None
    assert check_schema(model, directory, mode="strict") == []


def test_another_transformation_of_the_same_size_is_used_instead(
    model: ImageModel, tmp_path: Path
) -> None:
    directory = applied(directory_of(tmp_path, "a", "b"), tmp_path, size=60)
    used = applied_preprocessing(model, directory)
    assert used is not None
    assert used.resize == 60
    assert used.mean == model.preprocessing.mean
    (difference,) = check_schema(model, directory, mode="warn")
    assert "another transformation" in difference


@pytest.mark.parametrize("mode", ["off", "warn", "strict"])
def test_a_transformation_to_another_size_always_fails(
    model: ImageModel, tmp_path: Path, mode: str
) -> None:
    directory = applied(directory_of(tmp_path, "a", "b"), tmp_path, crop_size=48)
    with pytest.raises(errors.SchemaMismatch, match="48 x 48"):
        check_schema(model, directory, mode=mode)  # pyright: ignore[reportArgumentType]


def test_a_training_transformation_is_named(model: ImageModel, tmp_path: Path) -> None:
    directory = applied(directory_of(tmp_path, "a", "b"), tmp_path, mode="training")
    (difference,) = check_schema(model, directory, mode="warn")
    assert "random steps" in difference
