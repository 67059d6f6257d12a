"""The files of an image directory: their names, columns and models, and how they are written."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from calotype import errors, files
from calotype.images.transformation import Mode, Transformation
from calotype.tables import ArrowColumn, ArrowSchema, ArrowTable

INFO_NAME: Final = "image_directory.json"
IMAGES_NAME: Final = "images.parquet"
SKIPPED_NAME: Final = "skipped.parquet"
COPY_NAME: Final = "images.tar"
_OUR_NAMES: Final = frozenset((INFO_NAME, IMAGES_NAME, SKIPPED_NAME, COPY_NAME))

FORMAT_VERSION: Final = 1
ROW_GROUP_ROWS: Final = 8192

IMAGE_COLUMNS: Final = pa.schema(
    [
        ("id", pa.int64()),
        ("path", pa.string()),
        ("container", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("category", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
        ("bytes", pa.int64()),
        ("digest", pa.string()),
    ]
)
SKIPPED_COLUMNS: Final = pa.schema(
    [("path", pa.string()), ("reason", pa.string()), ("error_number", pa.int32())]
)


class _FileModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Origin(_FileModel):
    """How an image directory was made; the same origin may make it again in the same place."""

    operation: Literal["convert", "split", "transformation"]
    subject: str
    """What it was made of: the absolute path of a source or of another image directory."""
    options: dict[str, Any]

    def may_replace(self, other: Origin) -> bool:
        """Whether both are the same operation on the same thing, with whatever options."""
        return (self.operation, self.subject) == (other.operation, other.subject)


class SourceInfo(_FileModel):
    """Where the images lie."""

    kind: Literal["folder", "file", "zip", "tar", "copy"]
    location: str
    """Absolute path of the folder, image file or archive; `.` when the images were copied."""
    fingerprint: str
    """Changes with the path, size or time of modification of any of its files."""


class Counts(_FileModel):
    """How many images were taken and how many files were not."""

    images: int
    categories: dict[str, int]
    skipped: dict[str, int]
    """By reason; `skipped.parquet` lists the files."""


class PendingTransformation(_FileModel):
    """A transformation that was applied: it is carried out whenever an image is used."""

    mode: Mode
    transformation: Transformation


class ImageDirectoryInfo(_FileModel):
    """The content of `image_directory.json`."""

    format_version: Literal[1] = FORMAT_VERSION
    columns: list[dict[str, Any]] = Field(alias="schema")
    categories: list[str]
    source: SourceInfo
    counts: Counts
    pending_transformation: PendingTransformation | None = None
    fingerprint: str
    """Differs between directories of different images, categories, order or transformation."""
    origin: Origin

    @classmethod
    def make(
        cls,
        *,
        categories: list[str],
        source: SourceInfo,
        counts: Counts,
        pending: PendingTransformation | None,
        fingerprint: str,
        origin: Origin,
    ) -> Self:
        """Return the document of a directory, its schema filled in."""
        return cls(
            schema=_schema(categories),
            categories=categories,
            source=source,
            counts=counts,
            pending_transformation=pending,
            fingerprint=fingerprint,
            origin=origin,
        )

    def save(self, folder: Path) -> None:
        """Write `image_directory.json`."""
        files.write_json(folder / INFO_NAME, self.model_dump(mode="json", by_alias=True))


def _schema(categories: list[str]) -> list[dict[str, Any]]:
    """Return the columns as the designer shows them: the image, its id and its category."""
    schema: list[dict[str, Any]] = [
        {"name": "image", "type": "Bytes", "isFeature": True},
        {"name": "id", "type": "Numeric", "isFeature": False},
    ]
    if categories:
        named = [{"id": index, "name": name} for index, name in enumerate(categories)]
        column = {"name": "category", "type": "String", "isFeature": False}
        schema.append({**column, "properties": {"categories": named}})
    return schema


class TableWriter:
    """Writes a Parquet file of row groups of equal size, whatever the size of what comes in."""

    def __init__(self, path: Path, schema: ArrowSchema, *, repetitive: list[str]) -> None:
        """Begin the file.

        Args:
            path: the file to write.
            schema: its columns.
            repetitive: the columns of few different values, which are dictionary-encoded.
        """
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            use_dictionary=repetitive,  # pyright: ignore[reportArgumentType] - takes names too
            write_statistics=False,
        )
        self._waiting = schema.empty_table()

    def add(self, rows: ArrowTable) -> None:
        """Append rows."""
        self._waiting = pa.concat_tables([self._waiting, rows])
        while len(self._waiting) >= ROW_GROUP_ROWS:
            self._writer.write_table(self._waiting.slice(0, ROW_GROUP_ROWS))
            self._waiting = self._waiting.slice(ROW_GROUP_ROWS)

    def close(self) -> None:
        """Write what is left."""
        if len(self._waiting):
            self._writer.write_table(self._waiting)
        self._writer.close()


@contextlib.contextmanager
def image_table(folder: Path) -> Generator[TableWriter]:
    """Open `images.parquet` for writing."""
    repetitive = ["container", "category", "format"]
    writer = TableWriter(folder / IMAGES_NAME, IMAGE_COLUMNS, repetitive=repetitive)
    try:
        yield writer
    finally:
        writer.close()


def count_categories(rows: ArrowTable) -> dict[str, int]:
    """Return how many rows each category has; rows without one are not counted."""
    # Not pyarrow's value_counts: importing its compute module takes a tenth of a second.
    counted = collections.Counter(rows["category"].to_pylist())
    del counted[None]
    return dict(counted)


def without_categories(rows: ArrowTable) -> ArrowTable:
    """Return the rows without labels."""
    return with_column(rows, "category", pa.nulls(len(rows), pa.string()))


def with_column(rows: ArrowTable, name: str, column: ArrowColumn) -> ArrowTable:
    """Return the rows with another column in the place of the one of that name."""
    return rows.set_column(rows.schema.get_field_index(name), name, column)


def check_place(out: Path, origin: Origin) -> None:
    """Check that an image directory of this origin may be written to `out`.

    It may when nothing is there, or an empty folder, or an image directory of the same origin.

    Raises:
        AlreadyExists: something else is there.
    """
    try:
        names = {entry.name for entry in out.iterdir()} if not out.is_file() else {out.name}
    except FileNotFoundError:
        return
    except OSError as error:
        raise errors.write_error(error, where=str(out)) from error
    if not names or (names <= _OUR_NAMES and _is_of(out / INFO_NAME, origin)):
        return
    raise errors.AlreadyExists(
        f"expected a new folder or an earlier result of the same {origin.operation}",
        where=str(out),
        got="an image directory of something else" if INFO_NAME in names else "something else",
        action="Choose another folder, or remove this one.",
    )


def _is_of(path: Path, origin: Origin) -> bool:
    try:
        document = files.read_json(path)
        return origin.may_replace(Origin.model_validate(document["origin"]))
    except (errors.FileError, KeyError, TypeError, ValueError):
        return False  # damaged or of another version: not ours to overwrite
