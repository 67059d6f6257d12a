"""Sources with a list: image directories of the retired designer, and COCO classification."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calotype import errors
from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory

Picture = Callable[..., Path]

CATEGORY_COLUMN = {
    "name": "category",
    "type": "String",
    "properties": {
        "annotation_type": "COCO_classification",
        "categories": [
            {"id": 0, "name": "01"},
            {"id": 1, "name": "dogs"},
            {"id": 2, "name": "fish"},
        ],
    },
}


def write_original(folder: Path, records: list[dict[str, Any]], *columns: dict[str, Any]) -> None:
    """Write an image directory as the retired designer did."""
    attributes = [{"name": "image", "type": "Bytes"}, {"name": "id", "type": "Numeric"}, *columns]
    (folder / "_schema.json").write_text(json.dumps({"columnAttributes": attributes}))
    (folder / "_meta.yaml").write_text("type: ImageDirectory\nimage_list: images.lst\n")
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "images.lst").write_text(lines)


@pytest.fixture
def original(tmp_path: Path, picture: Picture) -> Path:
    folder = tmp_path / "original"
    names = ["0_0.jpg", "0_1.png", "1_0.jpg"]
    for name in names:
        picture(folder / "image" / name)
    records = [
        {"image_info": {"file_name": name}, "category": ["01", "dogs"][int(name[0])], "id": index}
        for index, name in enumerate(names)
    ]
    write_original(folder, records, CATEGORY_COLUMN)
    return folder


def labels(directory: ImageDirectory) -> list[tuple[int, str, str | None]]:
    return [(entry.id, entry.path, entry.category) for entry in directory.entries()]


def test_an_image_directory_of_the_original(original: Path, tmp_path: Path) -> None:
    expected = [
        (0, "image/0_0.jpg", "01"),
        (1, "image/0_1.png", "01"),
        (2, "image/1_0.jpg", "dogs"),
    ]
    with ImageDirectory.open(original) as opened:
        assert labels(opened) == expected
        with opened.reader() as reader:
            for entry in opened.entries():
                assert reader.read(entry) == (original / entry.path).read_bytes()
    made = convert(original, tmp_path / "out")
    assert labels(made) == expected
    assert made.categories == ["01", "dogs", "fish"]
    assert made.info.counts.categories == {"01": 2, "dogs": 1, "fish": 0}
    assert not convert(original, tmp_path / "flat", labels="none").is_labeled


def test_file_names_may_be_relative_to_the_folder_itself(tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "original/image/a.jpg")
    write_original(tmp_path / "original", [{"image_info": {"file_name": "image/a.jpg"}, "id": 0}])
    made = convert(tmp_path / "original", tmp_path / "out")
    assert labels(made) == [(0, "image/a.jpg", None)]
    with pytest.raises(errors.NotLabeled):
        convert(tmp_path / "original", tmp_path / "out2", labels="folders")


def test_categories_that_the_schema_does_not_list(original: Path, tmp_path: Path) -> None:
    records = [json.loads(line) for line in (original / "images.lst").read_text().splitlines()]
    write_original(original, records, {"name": "category", "type": "String"})
    assert convert(original, tmp_path / "out").categories == ["01", "dogs"]


def test_annotations_instead_of_a_category(original: Path, tmp_path: Path) -> None:
    column = {**CATEGORY_COLUMN, "name": "classification_annotation"}
    records = [
        {
            "image_info": {"file_name": "0_0.jpg"},
            "classification_annotation": [{"category_id": 1}],
            "id": 0,
        },
        {
            "image_info": {"file_name": "0_1.png"},
            "classification_annotation": [{"category_id": 0}, {"category_id": 1}],
            "id": 1,
        },
        {"image_info": {"file_name": "1_0.jpg"}, "classification_annotation": [], "id": 2},
    ]
    write_original(original, records, column)
    made = convert(original, tmp_path / "out")
    assert labels(made) == [(0, "image/0_0.jpg", "dogs"), (1, "image/1_0.jpg", None)]
    assert [(one.path, one.reason) for one in made.skipped()] == [
        ("image/0_1.png", "two categories")
    ]
    assert made.category_indices().tolist() == [1, -1]


def test_a_changed_label_is_noticed(original: Path, tmp_path: Path) -> None:
    convert(original, tmp_path / "out")
    text = (original / "images.lst").read_text()
    (original / "images.lst").write_text(text.replace('"category": "dogs"', '"category": "fish"'))
    assert labels(convert(original, tmp_path / "out"))[2][2] == "fish"


def test_paths_that_lead_elsewhere_and_missing_files(original: Path, tmp_path: Path) -> None:
    with (original / "images.lst").open("a") as file:
        for name in ("../../secret.jpg", "gone.jpg", "notes.txt"):
            record = {"image_info": {"file_name": name}, "category": "01", "id": 9}
            file.write(json.dumps(record) + "\n")
    made = convert(original, tmp_path / "out")
    assert {one.path: one.reason for one in made.skipped()} == {
        "image/../../secret.jpg": "unsafe path",
        "image/gone.jpg": "missing",
        "image/notes.txt": "wrong extension",
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("images.lst", "{}\n", "images.lst:1: .*no image_info.file_name"),
        ("images.lst", "[]\n", "images.lst:1: .*no image_info.file_name"),
        ("images.lst", "no json\n", "images.lst:1: "),
        ("_schema.json", "{}", "_schema.json: .*damaged schema"),
        ("_schema.json", "[1]", "_schema.json: .*damaged schema"),
    ],
)
def test_damaged_lists_name_the_place(
    name: str, text: str, message: str, original: Path, tmp_path: Path
) -> None:
    (original / name).write_text(text)
    with pytest.raises(errors.InvalidDataset, match=message):
        convert(original, tmp_path / "out")


def test_other_tasks_of_the_original_are_refused(original: Path, tmp_path: Path) -> None:
    column = {"name": "x", "properties": {"annotation_type": "COCO_object_detection"}}
    write_original(original, [], column)
    with pytest.raises(errors.InvalidDataset, match="labelled for COCO_object_detection"):
        convert(original, tmp_path / "out")


# COCO


@pytest.fixture
def coco(tmp_path: Path, picture: Picture) -> dict[str, Any]:
    for name in ("b.jpg", "a.jpg", "sub/c.png", "unlisted.jpg"):
        picture(tmp_path / "coco" / name)
    return {
        "images": [
            {"id": 7, "file_name": "b.jpg", "width": 8, "height": 6},
            {"id": 3, "file_name": "a.jpg"},
            {"id": 5, "file_name": "sub/c.png"},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 2, "bbox": []},
            {"id": 2, "image_id": 3, "category_id": 1},
            {"id": 3, "image_id": 3, "category_id": 1},
        ],
        "categories": [{"id": 1, "name": "NA"}, {"id": 2, "name": "null"}, {"id": 3, "name": "x"}],
    }


def convert_coco(document: Any, tmp_path: Path) -> ImageDirectory:
    (tmp_path / "coco/annotations.json").write_text(json.dumps(document))
    return convert(tmp_path / "coco", tmp_path / "out")


def test_a_coco_list_gives_images_and_categories(coco: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "coco/aaa.json").write_text("[no json at all")
    made = convert_coco(coco, tmp_path)
    assert labels(made) == [(0, "b.jpg", "null"), (1, "a.jpg", "NA"), (2, "sub/c.png", None)]
    assert made.categories == ["NA", "null", "x"]
    assert made.info.counts.categories == {"NA": 1, "null": 1, "x": 0}


def test_an_image_of_two_categories_is_skipped(coco: dict[str, Any], tmp_path: Path) -> None:
    coco["annotations"].append({"id": 4, "image_id": 3, "category_id": 2})
    made = convert_coco(coco, tmp_path)
    assert [(one.path, one.reason) for one in made.skipped()] == [("a.jpg", "two categories")]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"image_id": 7, "category_id": 1, "bbox": [0, 0, 3, 3]}, "for detection"),
        ({"image_id": 7, "category_id": 1, "segmentation": [[1, 2]]}, "for segmentation"),
        ({"image_id": 7, "caption": "a dog"}, "for captions"),
        ({"image_id": 7, "category_id": 99}, "unknown category 99"),
        ({"category_id": 1}, "damaged list"),
        ("text", "damaged list"),
    ],
)
def test_other_coco_lists_are_refused(
    annotation: Any, message: str, coco: dict[str, Any], tmp_path: Path
) -> None:
    coco["annotations"].append(annotation)
    with pytest.raises(errors.InvalidDataset, match=message):
        convert_coco(coco, tmp_path)


def test_other_json_files_do_not_matter(photos: Path, tmp_path: Path) -> None:
    (photos / "labels.json").write_text('{"images": 3}')
    made = convert(photos, tmp_path / "out")
    assert made.categories == ["cats", "dogs"]
    assert [one.path for one in made.skipped()] == ["labels.json"]
