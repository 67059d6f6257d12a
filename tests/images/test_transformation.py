"""Init Image Transformation: parameters, ranges, storage, and what inference keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calotype import errors
from calotype.images.transformation import Transformation
from calotype.parameters import describe

# features.md 1.2, as the retired product documented it
DOCUMENTED_DEFAULTS: dict[str, bool | int] = {
    "resize": True,
    "size": 256,
    "center_crop": True,
    "crop_size": 224,
    "pad": False,
    "padding": 0,
    "color_jitter": False,
    "grayscale": False,
    "random_resized_crop": False,
    "random_size": 256,
    "random_crop": False,
    "random_crop_size": 224,
    "random_horizontal_flip": True,
    "random_vertical_flip": False,
    "random_rotation": False,
    "random_rotation_degrees": 0,
    "random_affine": False,
    "random_affine_degrees": 0,
    "random_grayscale": False,
    "random_perspective": False,
    "random_erasing": False,
}


def test_the_21_parameters_have_their_documented_names_and_defaults() -> None:
    assert Transformation().model_dump() == DOCUMENTED_DEFAULTS
    assert len(DOCUMENTED_DEFAULTS) == 21


def test_every_parameter_is_described() -> None:
    assert all(one["help"] for one in describe(Transformation).values())


@pytest.mark.parametrize(
    ("values", "number"),
    [
        ({"size": 0}, 5),
        ({"crop_size": -3}, 5),
        ({"padding": -1}, 5),
        ({"random_rotation_degrees": 181}, 8),
        ({"random_affine_degrees": -1}, 8),
        ({"size": "large"}, 2),
        ({"size": 2.5}, 2),
        ({"resize": "perhaps"}, 2),
        ({"sise": 3}, 2),
    ],
)
def test_a_value_outside_its_range_has_its_documented_number(
    values: dict[str, object], number: int
) -> None:
    with pytest.raises(errors.ParameterError) as caught:
        Transformation.of(values)
    assert caught.value.number == number
    assert next(iter(values)) in str(caught.value)


def test_an_unknown_parameter_gets_a_suggestion() -> None:
    with pytest.raises(errors.UnparsableValue, match="Did you mean 'size'"):
        Transformation.of({"sise": 3})


def test_inference_keeps_only_the_deterministic_steps() -> None:
    everything = Transformation.of(
        {name: True for name, value in DOCUMENTED_DEFAULTS.items() if isinstance(value, bool)}
    )
    kept = {name for name, value in everything.deterministic() if value is True}
    assert kept == {"resize", "center_crop", "pad", "grayscale"}
    assert everything.has_random_steps
    assert not everything.deterministic().has_random_steps


def test_unused_parameters_make_no_difference_to_inference() -> None:
    assert Transformation().same_for_inference(Transformation(padding=7, random_vertical_flip=True))
    assert not Transformation().same_for_inference(Transformation(pad=True, padding=7))
    assert not Transformation().same_for_inference(Transformation(grayscale=True))


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    made = Transformation(size=180, crop_size=160, random_rotation=True, random_rotation_degrees=9)
    made.save(tmp_path / "t")
    assert Transformation.load(tmp_path / "t") == made


def test_saving_again_replaces_it_but_nothing_else(tmp_path: Path) -> None:
    Transformation().save(tmp_path / "t")
    Transformation(size=99).save(tmp_path / "t")
    assert Transformation.load(tmp_path / "t").size == 99
    (tmp_path / "other").mkdir()
    with pytest.raises(errors.AlreadyExists):
        Transformation().save(tmp_path / "other")


def test_the_original_designers_transformation_is_read(tmp_path: Path) -> None:
    steps = [["Resize", 128], ["CenterCrop", [96]], ["RandomHorizontalFlip", {}]]
    (tmp_path / "_transforms.json").write_text(json.dumps([*steps, ["RandomRotation", 12]]))
    loaded = Transformation.load(tmp_path)
    assert (loaded.size, loaded.crop_size, loaded.random_rotation_degrees) == (128, 96, 12)
    assert loaded.random_horizontal_flip
    assert not loaded.pad


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("transformation.json", '{"format_version": 1, "kind": "table"}'),
        ("transformation.json", '{"format_version": 2, "kind": "image"}'),
        ("transformation.json", "[1, 2]"),
        ("_transforms.json", '[["Fold", 3]]'),
        ("_transforms.json", "17"),
        ("model.json", "{}"),
    ],
)
def test_anything_else_is_error_0158(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(errors.InvalidTransformation) as caught:
        Transformation.load(tmp_path)
    assert caught.value.number == 158


def test_no_folder_at_all_is_error_0158(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidTransformation, match="no such folder"):
        Transformation.load(tmp_path / "nowhere")
