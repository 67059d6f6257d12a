"""Image directories of the retired designer: a folder with `images.lst` and `_schema.json`.

`images.lst` has a JSON object per line: `image_info.file_name` and, if the images are labelled, a
column that the schema names, with a category or a list of annotations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from calotype import errors, files
from calotype.images.sources.listed import ListedImage, ListedSource

_LIST_NAME: Final = "images.lst"
_SCHEMA_NAME: Final = "_schema.json"
_CLASSIFICATION: Final = "COCO_classification"


class _LabelColumn(NamedTuple):
    name: str
    categories: dict[Any, str]
    """Name of each category by its id."""


def original_source(folder: Path) -> ListedSource | None:
    """Return an image directory of the retired designer as a source; None if it is none.

    Raises:
        InvalidDataset: it is damaged, or labelled for another task than classification.
    """
    if not ((folder / _LIST_NAME).is_file() and (folder / _SCHEMA_NAME).is_file()):
        return None
    column = _label_column(folder)

    def images() -> Iterator[ListedImage]:
        prefix = _prefix(folder)
        for number, record in _records(folder / _LIST_NAME):
            where = f"{folder / _LIST_NAME}:{number}"
            yield ListedImage(prefix + _file_name(record, where), _labels(record, column, where))

    categories = list(column.categories.values()) if column else []
    if column and not categories:  # the schema need not list them
        categories = [name for image in images() for name in image.categories]
    return ListedSource(folder, sorted(set(categories)), images)


def _label_column(folder: Path) -> _LabelColumn | None:
    where = folder / _SCHEMA_NAME
    schema = files.read_json(where)
    try:
        for attribute in schema["columnAttributes"]:
            properties = attribute.get("properties") or {}
            kind = properties.get("annotation_type")
            if kind == _CLASSIFICATION or (kind is None and attribute["name"] == "category"):
                listed = properties.get("categories") or []
                names = {category["id"]: str(category["name"]) for category in listed}
                return _LabelColumn(attribute["name"], names)
            if kind is not None:
                raise _invalid(str(where), f"images labelled for {kind}")
    except (KeyError, TypeError, AttributeError) as error:
        raise _invalid(str(where), f"a damaged schema ({error!r})") from error
    return None


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise _invalid(f"{path}:{number}", str(error)) from error
            yield number, record


def _prefix(folder: Path) -> str:
    """Return what precedes the file names: the images lie in `image/`, or in the folder itself."""
    for number, record in _records(folder / _LIST_NAME):
        name = _file_name(record, f"{folder / _LIST_NAME}:{number}")
        return "" if (folder / name).exists() else "image/"
    return ""


def _file_name(record: Any, where: str) -> str:
    try:
        info = record["image_info"]
        return str(info.get("file_name") or info["coco_url"])
    except (KeyError, TypeError, AttributeError):
        raise _invalid(where, "no image_info.file_name") from None


def _labels(record: dict[str, Any], column: _LabelColumn | None, where: str) -> frozenset[str]:
    value = record.get(column.name) if column else None
    if column is None or value is None:
        return frozenset()
    if not isinstance(value, list):
        return frozenset((str(value),))
    try:
        ids = [annotation["category_id"] for annotation in value]
        return frozenset(column.categories[one] for one in ids)
    except (KeyError, TypeError) as error:
        raise _invalid(where, f"an annotation of an unknown category ({error})") from error


def _invalid(where: str, got: str) -> errors.InvalidDataset:
    return errors.InvalidDataset(
        "expected an image directory of the retired designer, for classification or without labels",
        where=where,
        got=got,
    )
