"""The rows of the first pass over a source, kept in a file until the second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from calotype.images.headers import HeaderRow
from calotype.images.manifest import IMAGE_COLUMNS, ROW_GROUP_ROWS
from calotype.tables import RecordBatch

_COLUMNS: Final = pa.schema([IMAGE_COLUMNS.field(name) for name in HeaderRow._fields])


class SpillWriter:
    """Appends rows to a file, some thousands at a time."""

    def __init__(self, path: Path) -> None:
        """Begin the file."""
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_stream(self._file, _COLUMNS)
        self._waiting: list[HeaderRow] = []

    def __enter__(self) -> SpillWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()
        self._writer.close()
        self._file.close()

    def add(self, rows: list[HeaderRow]) -> None:
        """Append rows."""
        self._waiting += rows
        if len(self._waiting) >= ROW_GROUP_ROWS:
            self._write()

    def _write(self) -> None:
        if not self._waiting:
            return
        columns = zip(*self._waiting, strict=True)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, _COLUMNS, strict=True)]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=_COLUMNS))
        self._waiting.clear()


def read_spill(path: Path) -> Iterator[RecordBatch]:
    """Yield the rows again; the file is read, not mapped, so that memory stays flat."""
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
        yield from stream
