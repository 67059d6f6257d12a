"""Reading tables in Parquet and CSV a batch of rows at a time, with errors that name the file.

CSV is what `pyarrow.csv.write_csv` writes by default: text stands in quotes and a missing value is
nothing at all, so that "", "NA" and a missing name stay three different things.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from calotype import errors

# pyarrow ships no types; these names say what the values are.
ArrowSchema: TypeAlias = Any
ArrowTable: TypeAlias = Any
ArrowColumn: TypeAlias = Any  # ChunkedArray
ArrowType: TypeAlias = Any
RecordBatch: TypeAlias = Any

TableFormat = Literal["parquet", "csv"]
SUFFIXES = (".parquet", ".csv")

_BATCH_ROWS = 8192  # with 1,000 columns of float32: 32 MB


def column_names(path: Path) -> tuple[str, ...]:
    """Return the names of the columns of a table in the order of the file.

    Raises:
        UnreadableFile: the file cannot be opened.
        UnparsableFile: it is not of the format that its suffix promises.
    """
    import pyarrow.parquet as pq

    with _opening(path):
        if path.suffix.lower() == ".parquet":
            return tuple(pq.read_schema(native(path)).names)
        with _open_csv(path, types={}, columns=()) as reader:
            return tuple(reader.schema.names)


def read_batches(
    path: Path, *, columns: Sequence[str], types: Mapping[str, ArrowType]
) -> Iterator[RecordBatch]:
    """Read some columns of a table, a few thousand rows at a time.

    Args:
        path: a `.parquet` or `.csv` file.
        columns: the columns to read, in the order wanted.
        types: the types of columns in CSV, which has none; others are guessed.

    Raises:
        ColumnMissing: the table lacks one of the columns.
        UnreadableFile: the file cannot be opened.
        UnparsableFile: it is damaged, or a value is not of its column's type.
    """
    names = column_names(path)
    if missing := [column for column in columns if column not in names]:
        raise errors.ColumnMissing(
            f"expected a column '{missing[0]}'", where=str(path), got=listed(names)
        )
    with _opening(path):
        if path.suffix.lower() == ".parquet":
            yield from _parquet_batches(path, columns=columns)
        else:
            with _open_csv(path, types=types, columns=columns) as reader:
                yield from reader


def _parquet_batches(path: Path, *, columns: Sequence[str]) -> Iterator[RecordBatch]:
    import pyarrow.parquet as pq

    # pre_buffer keeps all that was read until the file is closed: the whole file in the end.
    with pq.ParquetFile(native(path), pre_buffer=False) as file:
        yield from file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns))


def _open_csv(path: Path, *, types: Mapping[str, ArrowType], columns: Sequence[str]) -> Any:
    from pyarrow import csv

    return csv.open_csv(
        native(path),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=types,
            include_columns=list(columns),
            null_values=[""],  # never "NA" or "null": people give such names to classes
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


@contextlib.contextmanager
def _opening(path: Path) -> Generator[None]:
    """Turn what goes wrong while `path` is read into errors of ours."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowInvalid as error:
        raise errors.UnparsableFile(
            f"expected a readable {path.suffix.removeprefix('.')} table",
            where=str(path),
            got=str(error).splitlines()[0],
            action="The file is damaged or something else: make it again.",
        ) from error
    except OSError as error:
        raise errors.UnreadableFile(
            "expected a readable file", where=str(path), got=error.strerror or str(error)
        ) from error


def native(path: Path) -> Any:
    """Return what pyarrow opens, which takes names in UTF-8 only."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        import pyarrow as pa

        return pa.OSFile(os.fsencode(path))
    return path


def listed(names: Sequence[str]) -> str:
    """Return the first names in quotes, and how many there are besides.

    >>> listed(["id", "path"])
    "'id', 'path'"
    """
    shown = ", ".join(f"'{name}'" for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "nothing"
