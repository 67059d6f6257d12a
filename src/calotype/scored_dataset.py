"""A scored dataset on disk: the names of its files and columns, and how to read one.

    scored/
      scored.parquet   one row per readable image; or part-00000.parquet, part-00001.parquet, …
      _schema.json     which column means what
      errors.parquet   the images that could not be scored, if there were any
      run.json         the model, the counts, and whether the run has finished

The table may be CSV instead, as `calotype.tables` describes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, computed_field, model_validator

from calotype import errors, files, tables
from calotype.tables import ArrowSchema, ArrowTable, RecordBatch, TableFormat

FORMAT_VERSION = 1
TASK = "image_classification"

ID = "id"
PATH = "path"
CATEGORY = "category"
SCORED_LABELS = "Scored Labels"
NOVELTY = "Novelty"
PROBABILITY_PREFIX = "Scored Probabilities_"

WHOLE_TABLE = "scored"  # the stem of a table that is not in parts
SCHEMA_FILE = "_schema.json"
ERRORS_FILE = "errors.parquet"
RUN_FILE = "run.json"
COMPLETE = "complete"  # "status" in run.json, once every image has its row

_PART = re.compile(r"part-(\d{5,})\.(parquet|csv)")
_DESIGNER_TABLE = "_data.parquet"  # of the retired designer's DataFrameDirectory
_DESIGNER_SCHEMA = "schema/_schema.json"
_DESIGNER_TYPES = {"int64": ("Numeric", "int64"), "float": ("Numeric", "float32")}


def probability_column(name: str) -> str:
    """Return the column that holds the probability of the class `name`."""
    return PROBABILITY_PREFIX + name


def part_file(number: int, *, format: TableFormat = "parquet") -> str:
    """Return the file name of one part, counted from 0."""
    return f"part-{number:05d}.{format}"


def errors_schema() -> ArrowSchema:
    """Return the columns of the table of images that could not be scored."""
    import pyarrow as pa

    number, message = ("error_number", pa.int32()), ("message", pa.string())
    return pa.schema([(ID, pa.int64()), (PATH, pa.string()), number, message])


class ScoredSchema(BaseModel):
    """What each column of a scored dataset means: the content of `_schema.json`.

    The three keys in camel case are those of the retired designer, for the tools that read them;
    they follow from the others and are ignored when read.
    """

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = FORMAT_VERSION
    task: str = TASK
    label_column: str | None
    scored_label_column: str = SCORED_LABELS
    classes: tuple[str, ...]
    probability_columns: dict[str, str]
    novelty_column: str | None = None

    @classmethod
    def of(cls, classes: Sequence[str], *, has_category: bool, has_novelty: bool = False) -> Self:
        """Describe the table that scoring writes for a model with these classes, in index order."""
        return cls(
            label_column=CATEGORY if has_category else None,
            classes=tuple(classes),
            probability_columns={name: probability_column(name) for name in classes},
            novelty_column=NOVELTY if has_novelty else None,
        )

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError("classes must be there, and different from each other")
        if set(self.probability_columns) != set(self.classes):
            raise ValueError("probability_columns must name one column for each class")
        return self

    @computed_field(alias="columnAttributes")
    @property
    def column_attributes(self) -> list[dict[str, Any]]:
        """Name, type and use of each column, as the designer wrote them."""
        attributes: list[dict[str, Any]] = []
        for field in self.arrow_schema():
            kind, element = _DESIGNER_TYPES.get(str(field.type), ("String", "str"))
            element_type = {"typeName": element, "isNullable": field.nullable}
            is_feature = field.name == ID
            attributes.append(
                {"name": field.name, "type": kind, "isFeature": is_feature}
                | {"elementType": element_type}
            )
        return attributes

    @computed_field(alias="labelColumns")
    @property
    def label_columns(self) -> dict[str, str]:
        """The designer's name for the role of the true label, and its column."""
        return {"True Labels": self.label_column} if self.label_column is not None else {}

    @computed_field(alias="scoreColumns")
    @property
    def score_columns(self) -> dict[str, str]:
        """The designer's names for the roles of the score columns, and the columns."""
        probabilities = {column: column for column in self.probability_columns.values()}
        return probabilities | {"Multi Class Assigned Labels": self.scored_label_column}

    def arrow_schema(self) -> ArrowSchema:
        """Return names and types of all columns in the order of the file."""
        import pyarrow as pa

        fields = [pa.field(ID, pa.int64(), nullable=False)]
        fields.append(pa.field(PATH, pa.string(), nullable=False))
        if self.label_column is not None:
            fields.append(pa.field(self.label_column, pa.string()))
        for name in self.classes:
            column = self.probability_columns[name]
            fields.append(pa.field(column, pa.float32(), nullable=False))
        fields.append(pa.field(self.scored_label_column, pa.string(), nullable=False))
        if self.novelty_column is not None:
            fields.append(pa.field(self.novelty_column, pa.float32(), nullable=False))
        return pa.schema(fields)

    def write(self, folder: Path) -> None:
        """Write `_schema.json` into `folder`."""
        left_out = {"novelty_column"} if self.novelty_column is None else set[str]()
        document = self.model_dump(mode="json", by_alias=True, exclude=left_out)
        files.write_json(folder / SCHEMA_FILE, document)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read `_schema.json` of `folder`.

        Raises:
            UnreadableFile: the file cannot be opened.
            UnparsableFile: it is not JSON, not a schema, or of a newer format.
        """
        path = folder / SCHEMA_FILE
        try:
            return cls.model_validate(files.read_json(path))
        except ValidationError as error:
            mistakes = "; ".join(
                f"{'.'.join(str(step) for step in mistake['loc']) or 'file'}: {mistake['msg']}"
                for mistake in error.errors()
            )
            raise errors.UnparsableFile(
                f"expected the schema of a scored dataset, format version {FORMAT_VERSION}",
                where=str(path),
                got=mistakes,
                action="Score the images again, or use the version of Calotype that wrote it.",
            ) from error


@dataclass(frozen=True)
class ScoredDataset:
    """A scored dataset that was opened for reading; its rows are read when asked for.

    Args:
        path: the folder or the single file that was opened.
        schema: what the columns mean.
        run: the content of `run.json`; empty for a table that another program wrote.
        parts: the files with the rows, in the order of the images.
    """

    path: Path
    schema: ScoredSchema
    run: Mapping[str, Any]
    parts: tuple[Path, ...]

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Open a scored dataset: a folder of ours, one of the designer's, or a single table.

        Tables without `_schema.json` are understood by the names of their columns.

        Raises:
            InvalidDataset: nothing is at `path`, or parts of the table are missing.
            NotScored: there are no score columns.
            UnreadableFile: a file cannot be opened.
            UnparsableFile: a file does not hold what its name promises.
        """
        path = Path(path)
        if path.is_dir():
            return cls._load_folder(path)
        if not path.exists():
            raise errors.InvalidDataset(
                "expected a scored dataset",
                where=str(path),
                got="nothing at this path",
                action="Check the path, or make it with `calotype score`.",
            )
        if path.suffix not in tables.SUFFIXES:
            raise _not_scored(path, got=f"a file named {path.name}")
        return cls(path=path, schema=_schema_of_table(path), run={}, parts=(path,))

    @classmethod
    def _load_folder(cls, folder: Path) -> Self:
        parts = _find_parts(folder)
        run = _read_object(folder / RUN_FILE) or {}
        if _is_ours(folder):
            schema = ScoredSchema.read(folder)
        elif parts:
            schema = _schema_of_table(parts[0], label_column=_designer_label_column(folder))
        else:
            raise _not_scored(folder, got="a folder without a scored table")
        return cls(path=folder, schema=schema, run=run, parts=parts)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the model's classes in index order."""
        return self.schema.classes

    @property
    def is_complete(self) -> bool:
        """Whether the scoring run has finished, as `run.json` says."""
        return self.run.get("status") == COMPLETE

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that the table really has, in the order of the file."""
        if self.parts:
            return tables.column_names(self.parts[0])
        return tuple(self.schema.arrow_schema().names)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[RecordBatch]:
        """Read the rows in the order of the images, a few thousand at a time.

        Args:
            columns: the columns to read, in the order wanted; None for all.

        Raises:
            ColumnMissing: a part lacks one of the columns.
            UnreadableFile: a part cannot be opened.
            UnparsableFile: a part is damaged.
        """
        wanted = self.columns if columns is None else columns
        types = self._csv_types()
        for part in self.parts:
            yield from tables.read_batches(part, columns=wanted, types=types)

    def _csv_types(self) -> dict[str, Any]:
        import pyarrow as pa

        types = {field.name: field.type for field in self.schema.arrow_schema()}
        if not _is_ours(self._folder):  # another program may give more digits than float32 holds
            types |= dict.fromkeys(self.schema.probability_columns.values(), pa.float64())
        return types

    def errors(self) -> ArrowTable:
        """Read the images that could not be scored: id, path, error number and message."""
        import pyarrow as pa

        columns = errors_schema().names
        if self.path != self._folder or not (self.path / ERRORS_FILE).exists():
            return errors_schema().empty_table()
        rows = tables.read_batches(self.path / ERRORS_FILE, columns=columns, types={})
        return pa.Table.from_batches(rows, schema=errors_schema())

    @property
    def _folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent


def _find_parts(folder: Path) -> tuple[Path, ...]:
    """Find the files with the rows; there may be one table, one set of parts, or none yet."""
    names = [WHOLE_TABLE + suffix for suffix in tables.SUFFIXES] + [_DESIGNER_TABLE]
    whole = [folder / name for name in names if (folder / name).is_file()]
    matches = [(_PART.fullmatch(file.name), file) for file in folder.iterdir()]
    numbered = sorted((int(match[1]), match[2], file) for match, file in matches if match)
    parts = [file for _, _, file in numbered]
    if len(whole) + len({file.suffix for file in parts}) > 1:
        raise errors.InvalidDataset(
            "expected one table, whole or in parts of one format",
            where=str(folder),
            got=tables.listed([file.name for file in whole + parts]),
            action="Name the one file to read, or score again into an empty folder.",
        )
    for expected, (number, _, file) in enumerate(numbered):
        if number != expected:
            raise errors.InvalidDataset(
                f"expected part {expected} of the table",
                where=str(folder),
                got=f"{file.name} in its place",
                action="A part is lost: copy the folder again, or score the images again.",
            )
    return tuple(whole or parts)


def _read_object(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None when there is no such file."""
    if not path.exists():
        return None
    content = files.read_json(path)
    if not isinstance(content, dict):
        raise errors.UnparsableFile("expected a JSON object", where=str(path), got=repr(content))
    return content


def _is_ours(folder: Path) -> bool:
    """Tell our `_schema.json` from the designer's, which has the same name and no version."""
    return "format_version" in (_read_object(folder / SCHEMA_FILE) or {})


def _designer_label_column(folder: Path) -> str:
    labels = (_read_object(folder / _DESIGNER_SCHEMA) or {}).get("labelColumns")
    return str(labels.get("True Labels", CATEGORY)) if isinstance(labels, dict) else CATEGORY


def _schema_of_table(path: Path, *, label_column: str = CATEGORY) -> ScoredSchema:
    """Understand a table by the names of its columns alone."""
    names = tables.column_names(path)
    probabilities = [name for name in names if name.startswith(PROBABILITY_PREFIX)]
    if not probabilities or SCORED_LABELS not in names:
        raise _not_scored(path, got=f"a table with {tables.listed(names)}")
    if len(set(names)) != len(names):
        raise errors.InvalidDataset(
            "expected columns with different names", where=str(path), got=tables.listed(names)
        )
    columns = {name.removeprefix(PROBABILITY_PREFIX): name for name in probabilities}
    label = label_column if label_column in names else None
    return ScoredSchema(
        label_column=label,
        classes=tuple(columns),
        probability_columns=columns,
        novelty_column=NOVELTY if NOVELTY in names else None,
    )


def _not_scored(path: Path, *, got: str) -> errors.NotScored:
    return errors.NotScored(
        f"expected scored images with the columns '{SCORED_LABELS}' and '{PROBABILITY_PREFIX}…'",
        where=str(path),
        got=got,
        action="Score the images first, with `calotype score`.",
    )
