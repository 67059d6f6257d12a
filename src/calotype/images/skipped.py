"""The list of files that were seen and not taken."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa

from calotype.images.manifest import SKIPPED_COLUMNS, SKIPPED_NAME, TableWriter
from calotype.images.sources.source import Refused, printable

_ROWS_AT_ONCE: Final = 1024
_EXAMPLES: Final = 3


class SkippedList:
    """Writes `skipped.parquet` and counts by reason.

    Attributes:
        counts: how many files were skipped for each reason.
        examples: the paths of the first three of them.
    """

    def __init__(self, folder: Path) -> None:
        """Begin the list in the folder of an image directory."""
        self.counts: Counter[str] = Counter()
        self.examples: defaultdict[str, list[str]] = defaultdict(list)
        self._waiting: list[Refused] = []
        self._table = TableWriter(folder / SKIPPED_NAME, SKIPPED_COLUMNS, repetitive=["reason"])

    def __enter__(self) -> SkippedList:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()
        self._table.close()

    def add(self, refused: Iterable[Refused]) -> None:
        """Append files."""
        for one in refused:
            path = printable(one.path)
            self._waiting.append(Refused(path, one.reason))
            self.counts[one.reason.value] += 1
            if self.counts[one.reason.value] <= _EXAMPLES:
                self.examples[one.reason.value].append(path)
        if len(self._waiting) >= _ROWS_AT_ONCE:
            self._write()

    def _write(self) -> None:
        columns = {
            "path": [path for path, _ in self._waiting],
            "reason": [reason.value for _, reason in self._waiting],
            "error_number": [reason.error_number for _, reason in self._waiting],
        }
        self._table.add(pa.table(columns, SKIPPED_COLUMNS))
        self._waiting.clear()
