"""The rows of tables as lines of JSON for a script of ours, and which row each result is of."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from calotype import errors
from calotype.hosting.batch.mini_batches import Files, MiniBatch, failure_of
from calotype.hosting.batch.row_files import RowFile, row_files
from calotype.hosting.batch.rows import ROW_ERROR
from calotype.progress import Progress
from calotype.scored_dataset import PATH
from calotype.tables import ArrowTable

ROW: Final = "row"


@dataclass(frozen=True, slots=True)
class RowEntry:
    """One row.

    Attributes:
        id: its number in its file, from 0.
        path: the file.
        line: its values as JSON.
    """

    id: int
    path: str
    line: bytes


class RowItems:
    """The rows of the tables at a path, one file after the other.

    Args:
        files: the tables.
        columns: what a model is given of them; all when there are none.
    """

    unit = "rows"

    def __init__(self, files: Sequence[RowFile], columns: Sequence[str] = ()) -> None:
        self._files = files
        self._columns = columns
        self._counts = [file.count(columns) for file in files]
        self.fingerprint = _fingerprint(files)
        self.refused: list[dict[str, Any]] = []

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, source: Path, progress: Progress, columns: Sequence[str] = ()
    ) -> Generator[RowItems]:
        """Find the tables, and read them through once: how many rows, of which types.

        Raises:
            InvalidDataset: there are none.
            ColumnMissing: one lacks a column that is wanted.
            FileError: one cannot be read.
        """
        files = row_files(source)
        progress.say(f"reading {len(files):,} file{'s' * (len(files) > 1)} of rows")
        yield cls(files, columns)

    def __len__(self) -> int:
        return sum(self._counts)

    def entries(self, start: int) -> Iterator[RowEntry]:
        """Yield the rows, but the first `start`."""
        for file, count in zip(self._files, self._counts, strict=True):
            if start < count:
                for id, line in enumerate(file.lines(self._columns, start=start), start):
                    yield RowEntry(id, file.name, line)
            start = max(start - count, 0)

    @contextlib.contextmanager
    def as_files(self, entries: Sequence[RowEntry], *, parent: Path) -> Generator[Files]:
        """Give one file with a line of JSON for each row; it is removed at the end."""
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix="rows-", suffix=".jsonl", dir=parent) as file:
            file.write(b"\n".join(entry.line for entry in entries))
            file.flush()
            yield Files([*entries], [Path(file.name)])

    def matched(
        self, results: ArrowTable, batch: MiniBatch, entries: list[RowEntry]
    ) -> tuple[ArrowTable, list[dict[str, Any]]]:
        """Say which row each result is of, and return the rows that the model has refused.

        An output that is called like what says so becomes `output_path` or `output_row`.
        """
        assert results.num_rows == len(entries), batch.number
        places = {
            PATH: pa.array([entry.path for entry in entries], pa.string()),
            ROW: pa.array([entry.id for entry in entries], pa.int64()),
        }
        given = {
            f"output_{name}" if name in places else name: results.column(name)
            for name in results.column_names
            if name != ROW_ERROR
        }
        table = pa.table(places | given)
        if ROW_ERROR not in results.column_names:
            return table, []
        said = results.column(ROW_ERROR)
        failures = [
            failure_of(entry, errors.UnparsableValue.number, message)
            for entry, message in zip(entries, said.to_pylist(), strict=True)
            if message is not None
        ]
        return table.filter(said.is_null()), failures


def _fingerprint(files: Sequence[RowFile]) -> str:
    digest = hashlib.sha256()
    for file in files:
        seen = file.path.stat()
        digest.update(f"{file.name}\0{seen.st_size}\0{seen.st_mtime_ns}\0".encode())
    return digest.hexdigest()
