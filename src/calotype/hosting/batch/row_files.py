"""Files of rows: CSV, Parquet and lines of JSON, each row as a line of JSON."""

from __future__ import annotations

import datetime
import decimal
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa

from calotype import errors
from calotype.images.sources.source import printable
from calotype.tables import ArrowType, column_names, native, read_batches

LINES_SUFFIXES: Final = (".jsonl", ".ndjson")
SUFFIXES: Final = (".csv", ".parquet", *LINES_SUFFIXES)
_TYPES: Final = (pa.int64(), pa.float64(), pa.bool_())  # of a CSV column; text when none fits


class RowFile(Protocol):
    """One file.

    Attributes:
        path: where it lies.
        name: its path within the dataset.
    """

    path: Path
    name: str

    def count(self, columns: Sequence[str]) -> int:
        """Return how many rows it has, after a look at all of them."""
        ...

    def lines(self, columns: Sequence[str], *, start: int) -> Iterator[bytes]:
        """Yield its rows but the first `start`, of all columns or of some."""
        ...


def row_files(source: Path) -> list[RowFile]:
    """Return the files of rows at a path: it, or all below it, by name.

    Raises:
        InvalidDataset: there are none.
    """
    if source.is_dir():
        found = sorted(
            path
            for path in source.rglob("*")
            if path.suffix.lower() in SUFFIXES
            and path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(source).parts)
        )
        if found:
            return [_row_file(path, path.relative_to(source).as_posix()) for path in found]
    elif source.suffix.lower() in SUFFIXES and source.is_file():
        return [_row_file(source, source.name)]
    raise errors.InvalidDataset(
        f"expected rows: a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file, or a folder of them",
        where=str(source),
        got="a folder without any" if source.is_dir() else "something else",
        action="This model takes rows; for images, give the service an image model or a script.",
    )


def _row_file(path: Path, name: str) -> RowFile:
    name = printable(name)
    is_lines = path.suffix.lower() in LINES_SUFFIXES
    return _LinesFile(path, name) if is_lines else _TableFile(path, name)


class _TableFile:
    """A CSV or Parquet file."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self._types: dict[str, ArrowType] = {}

    def count(self, columns: Sequence[str]) -> int:
        if self.path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            self._columns(columns)
            return pq.read_metadata(native(self.path)).num_rows
        return self._settled_csv(self._columns(columns))

    def lines(self, columns: Sequence[str], *, start: int) -> Iterator[bytes]:
        names = self._columns(columns)
        for batch in read_batches(self.path, columns=names, types=self._types):
            if start >= batch.num_rows:
                start -= batch.num_rows
                continue
            for row in batch.slice(start).to_pylist():
                yield json.dumps(row, default=_plain, ensure_ascii=False).encode()
            start = 0

    def _columns(self, wanted: Sequence[str]) -> Sequence[str]:
        names = column_names(self.path)
        for name in wanted:
            if name not in names:
                raise errors.ColumnMissing(
                    f"expected a column '{name}'",
                    where=str(self.path),
                    got=", ".join(names),
                    action=errors.suggest(name, names),
                )
        return wanted or names

    def _settled_csv(self, names: Sequence[str]) -> int:
        """Find for each column the type that all of its values have; return how many rows.

        A reader that goes by the beginning of the file would stop at the first value that differs.
        """
        texts = dict.fromkeys(names, pa.string())
        possible = {name: list(_TYPES) for name in names}
        count = 0
        for batch in read_batches(self.path, columns=names, types=texts):
            count += batch.num_rows
            for name, kinds in possible.items():
                kinds[:] = [kind for kind in kinds if _fits(batch.column(name), kind)]
        self._types = {name: [*kinds, pa.string()][0] for name, kinds in possible.items()}
        return count


class _LinesFile:
    """A row in each line, as JSON; empty lines are none."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name

    def count(self, columns: Sequence[str]) -> int:
        return sum(1 for _ in self._filled())

    def lines(self, columns: Sequence[str], *, start: int) -> Iterator[bytes]:
        for line in itertools.islice(self._filled(), start, None):
            yield _picked(line, columns) if columns else line

    def _filled(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                for line in file:
                    if text := line.strip():
                        yield text
        except OSError as error:
            raise errors.UnreadableFile(
                "expected a readable file", where=str(self.path), got=error.strerror or str(error)
            ) from error


def _picked(line: bytes, columns: Sequence[str]) -> bytes:
    """Return some columns of a row; what has none of them is for the model to refuse."""
    try:
        row = json.loads(line)
    except ValueError:
        return line
    if not isinstance(row, dict):
        return line
    few = {name: row[name] for name in columns if name in row}
    return json.dumps(few, ensure_ascii=False).encode()


def _fits(column: Any, kind: ArrowType) -> bool:
    try:
        column.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _plain(value: Any) -> Any:
    """Return what JSON has for values of Parquet that Python has types of its own for."""
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)
