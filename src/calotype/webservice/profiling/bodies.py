"""What a service that is measured is asked."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from calotype import errors
from calotype.clients.described import describe
from calotype.images.formats import has_image_extension
from calotype.images.image_directory import ImageDirectory
from calotype.webservice.profiling.load import Body
from calotype.workspace.dataset_sources import LocalSource

MOST_IMAGES: Final = 64
MOST_LINES: Final = 256
_TEXTS: Final = (".csv", ".json", ".jsonl", ".ndjson", ".tsv", ".txt")
_JSON: Final = "application/json"
_SIDE: Final = (640, 480)


def of_source(source: Path) -> list[Body]:
    """Return the requests at a path, or in the files of a pattern such as `bodies/*.json`.

    Raises:
        CalotypeError: there is none, or it cannot be read.
    """
    local = LocalSource.find(source)
    if local.form != "pattern":
        return of_path(source)
    paths = [local.locate(file.path) for file in local.files()]
    if paths and all(_is_text(path) for path in paths):
        return _of_texts(paths, source)
    images = [path for path in paths if has_image_extension(path.name)][:MOST_IMAGES]
    if not images:
        raise errors.EmptyInput(
            "expected files of requests or images", where=str(source), got="none of that pattern"
        )
    return [Body(_read(path), "application/octet-stream") for path in images]


def of_path(source: Path) -> list[Body]:
    """Return the requests in a file or a folder of text, or the images in anything else.

    A file that is one JSON value is one request, any other text a request in each line: JSON, or
    a cell of a table with one column, as the retired product took them.

    Raises:
        CalotypeError: there is none, or it cannot be read.
    """
    if source.is_file() and _is_json(content := _read(source)):
        return of_values([content])
    found = [source] if source.is_file() else sorted(source.rglob("*"))
    paths = [path for path in found if path.is_file() and not path.name.startswith(".")]
    if not paths or not all(_is_text(path) for path in paths):
        return of_images(source)
    return _of_texts(paths, source)


def _is_text(path: Path) -> bool:
    return path.suffix.lower() in _TEXTS


def _of_texts(paths: Sequence[Path], source: Path) -> list[Body]:
    bodies = [body for path in paths for body in _of_text(path)][:MOST_LINES]
    if not bodies:
        raise errors.EmptyInput("expected requests", where=str(source), got="empty files")
    return bodies


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.UnreadableFile(
            "expected a readable file", where=str(path), got=error.strerror or "an I/O error"
        ) from error


def _of_text(path: Path) -> list[Body]:
    try:
        text = _read(path).decode("utf-8-sig")
    except ValueError as error:
        raise errors.UnparsableFile(
            "expected text in UTF-8", where=str(path), got=str(error)
        ) from error
    if _is_json(text):
        return of_values([text])
    lines = [line for line in text.splitlines() if line.strip()]
    if path.suffix.lower() == ".json" and not all(map(_is_json, lines)):
        raise errors.UnparsableFile("expected JSON", where=str(path), got="other text")
    if path.suffix.lower() == ".csv" and not all(map(_is_json, lines)):
        lines = _cells(text) or lines
    return of_values(lines[:MOST_LINES])


def _cells(text: str) -> list[str]:
    """Return what stands in the only column of a table, below its heading; nothing for others."""
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if any(len(row) != 1 for row in rows):
        return []
    cells = [row[0] for row in rows]
    return cells[1:] if not _is_json(cells[0]) and all(map(_is_json, cells[1:])) else cells


def _is_json(text: str | bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def of_images(source: Path) -> list[Body]:
    """Return the first images of a source, as they are.

    Raises:
        InvalidDataset: there is none.
    """
    with ImageDirectory.open(source) as directory, directory.reader() as reader:
        entries = itertools.islice(directory.entries(), MOST_IMAGES)
        return [Body(reader.read(one), "application/octet-stream") for one in entries]


def of_values(values: Sequence[Any]) -> list[Body]:
    """Return requests of values: text and bytes as they are, others as JSON."""
    return [Body(_encoded(value), _JSON) for value in values]


def of_service(scoring_uri: str) -> list[Body]:
    """Return what a service gives as its own example; a drawn picture where it takes images.

    Raises:
        CalotypeError: it says nothing about what it takes.
    """
    described = describe(scoring_uri, credential=None)
    if described.is_image or not described.example:
        return [Body(picture(), "image/jpeg")]
    return [Body(described.example, _JSON)]


def picture() -> bytes:
    """Return a JPEG of soft colours, about as large as a photograph of its size."""
    noise = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize(_SIDE, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _encoded(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()
