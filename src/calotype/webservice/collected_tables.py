"""What a service has collected as two tables: for people who train or look with other tools."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from calotype import errors, files
from calotype.serving.collection import INPUTS, KEY_COLUMNS, PREDICTIONS
from calotype.serving.daily_tables import rows_of

Format = Literal["csv", "parquet"]
TABLES = (INPUTS, PREDICTIONS)


def write_tables(folder: Path, out: Path, *, days: int, format: Format) -> dict[str, int]:
    """Write `inputs` and `predictions` of some days; return how many rows each has.

    A row has the columns of all requests; those that its own did not have are empty.

    Args:
        folder: of one version of a model.
        out: gets the two files.
        days: how many, today included.
        format: of the files.

    Raises:
        NotFound: nothing was collected on those days.
    """
    counts = {name: _write(folder / name, out / f"{name}.{format}", days) for name in TABLES}
    if not any(counts.values()):
        raise errors.NotFound(
            "expected collected data",
            where=str(folder),
            got=f"none of the last {days} days",
            action="Deploy the service with --collect-model-data, and call it.",
        )
    return counts


def _write(folder: Path, path: Path, days: int) -> int:
    first = (datetime.now(UTC) - timedelta(days=days - 1)).strftime("%Y/%m/%d")
    tables = [
        table
        for table in sorted(folder.glob("*/*/*/*.csv"))
        if table.parent.relative_to(folder).as_posix() >= first
    ]
    columns = dict.fromkeys(KEY_COLUMNS)
    for table in tables:
        columns |= dict.fromkeys(_columns(table))
    if not tables:
        return 0
    with files.aside(path) as temporary:
        if path.suffix == ".csv":
            return _write_csv(tables, temporary, list(columns))
        return _write_parquet(tables, temporary, list(columns))


def _columns(table: Path) -> list[str]:
    with table.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])


def _rows(tables: list[Path]) -> Iterator[dict[str, str]]:
    for table in tables:
        yield from rows_of(table)


def _write_csv(tables: list[Path], path: Path, columns: list[str]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for count, row in enumerate(_rows(tables), start=1):  # noqa: B007 - the last one counts
            writer.writerow(row)
    return count


def _write_parquet(tables: list[Path], path: Path, columns: list[str]) -> int:
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    found = [pyarrow.csv.read_csv(table) for table in tables]
    whole = pyarrow.concat_tables(found, promote_options="permissive").select(columns)
    pyarrow.parquet.write_table(whole, path)
    return whole.num_rows
