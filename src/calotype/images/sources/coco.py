"""COCO classification lists: a JSON file with images, annotations and categories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from calotype import errors, files
from calotype.images.sources.listed import ListedImage, ListedSource

_OTHER_TASKS: Final = {
    "bbox": "detection",
    "segmentation": "segmentation",
    "keypoints": "keypoint detection",
    "caption": "captions",
    "segments_info": "segmentation",
}


def coco_source(folder: Path) -> ListedSource | None:
    """Return a folder with a COCO file at its top level as a source; None if there is none.

    Of several such files the first by name counts.

    Raises:
        InvalidDataset: it is damaged, or made for detection or another task.
    """
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            document = files.read_json(path)
        except errors.FileError:
            continue  # some other JSON file; whether it is a good one is not our matter
        if isinstance(document, dict) and {"images", "annotations"} <= document.keys():
            return _source(folder, document, path)
    return None


def _source(folder: Path, document: dict[str, Any], path: Path) -> ListedSource:
    try:
        names = {one["id"]: str(one["name"]) for one in document.get("categories") or ()}
        labels = _labels(document["annotations"], names, path)
        listed = [
            ListedImage(str(one["file_name"]), frozenset(labels.get(one["id"], ())))
            for one in document["images"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise _invalid(path, f"a damaged list ({error!r})") from error

    def images() -> Iterator[ListedImage]:
        return iter(listed)

    return ListedSource(folder, sorted(set(names.values())), images)


def _labels(annotations: Any, names: dict[Any, str], path: Path) -> dict[Any, set[str]]:
    """Return the categories of each image by its id."""
    labels: defaultdict[Any, set[str]] = defaultdict(set)
    for annotation in annotations:
        for key, task in _OTHER_TASKS.items():
            if annotation.get(key):
                raise _invalid(path, f"annotations for {task} ('{key}')")
        category = annotation["category_id"]
        if category not in names:
            raise _invalid(path, f"an annotation of the unknown category {category!r}")
        labels[annotation["image_id"]].add(names[category])
    return labels


def _invalid(path: Path, got: str) -> errors.InvalidDataset:
    return errors.InvalidDataset(
        "expected a COCO list for classification: images, categories, and annotations with "
        "image_id and category_id",
        where=str(path),
        got=got,
        action="Convert class folders instead, or move the JSON file elsewhere.",
    )
