"""What a job sends through a script, a few at a time: images of a set, or rows of tables."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from calotype import errors
from calotype.tables import ArrowTable


class Entry(Protocol):
    """One image or row."""

    @property
    def id(self) -> int:
        """Its number."""
        ...

    @property
    def path(self) -> str:
        """The file that it is, or that it stands in."""
        ...


@dataclass(frozen=True, slots=True)
class MiniBatch:
    """Some neighbours.

    Attributes:
        number: its place among all, from 0.
        entries: the images or rows.
    """

    number: int
    entries: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Files:
    """A mini-batch on disk.

    Attributes:
        entries: those that could be read, in order.
        paths: what `run(mini_batch)` is given.
        failures: rows of `errors.parquet` for the others.
    """

    entries: list[Any] = field(default_factory=list[Any])
    paths: list[Path] = field(default_factory=list[Path])
    failures: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


class Items(Protocol):
    """All that a job has to do, in its order.

    Attributes:
        unit: "images" or "rows".
        fingerprint: changes with what there is to do.
        refused: rows of `errors.parquet` for files that have none.
    """

    unit: str
    fingerprint: str
    refused: list[dict[str, Any]]

    def __len__(self) -> int: ...

    def entries(self, start: int) -> Iterator[Any]:
        """Yield entries, but the first `start`."""
        ...

    def as_files(self, entries: Sequence[Any], *, parent: Path) -> AbstractContextManager[Files]:
        """Give files for a script; those made in `parent` are removed at the end."""
        ...

    def matched(
        self, results: ArrowTable, batch: MiniBatch, entries: list[Any]
    ) -> tuple[ArrowTable, list[dict[str, Any]]]:
        """Say which entry each result is of, and return rows of `errors.parquet` for the others."""
        ...


def mini_batches(items: Items, *, size: int, start: int = 0) -> Generator[MiniBatch, None, None]:
    """Yield all entries in their order.

    Args:
        items: what there is to do.
        size: how many at a time.
        start: how many mini-batches to leave out at the beginning.
    """
    few: list[Any] = []
    number = start
    for entry in items.entries(start * size):
        few.append(entry)
        if len(few) == size:
            yield MiniBatch(number, tuple(few))
            few, number = [], number + 1
    if few:
        yield MiniBatch(number, tuple(few))


def failure_of(entry: Entry, number: int, message: str) -> dict[str, Any]:
    """Return the row of `errors.parquet` for an entry."""
    return {"id": entry.id, "path": entry.path, "error_number": number, "message": message}


def failures_of(entries: Sequence[Entry], error: errors.CalotypeError) -> list[dict[str, Any]]:
    """Return the rows of `errors.parquet` for entries that failed together."""
    return [failure_of(entry, error.number, str(error)) for entry in entries]
