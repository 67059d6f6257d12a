"""Writing a script's predictions so that a job can be killed at any moment and go on where it was.

Rows go into parts; `run.json` lists the closed ones with the mini-batches that each stands for.
What is not listed there does not exist: a resumed job begins after the last listed mini-batch.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from calotype import errors, files
from calotype.hosting.batch.rows import fitted, together
from calotype.scored_dataset import COMPLETE, ERRORS_FILE, RUN_FILE, errors_schema
from calotype.tables import ArrowSchema, ArrowTable

PARQUET: Final = "predictions.parquet"
CSV: Final = "predictions.csv"
RUNNING: Final = "running"
_ROWS_PER_PART: Final = 10_000
LOCK: Final = ".lock"


class PredictionsWriter:
    """The one writer of a folder of predictions.

    Args:
        folder: where to write; the caller holds its lock.
        identity: what the rows depend on: a run is only continued with the very same.
        run: what else `run.json` says.
        unit: what is counted: "images" or "rows".
        keeps_rows: whether rows are written, or counted only.
        part_s: close a part after this many seconds, so that no more work than that is ever lost.
    """

    def __init__(
        self,
        folder: Path,
        *,
        identity: Mapping[str, Any],
        run: Mapping[str, Any],
        unit: str = "images",
        keeps_rows: bool = True,
        part_s: float = 5.0,
    ) -> None:
        self._folder = folder
        self._unit = unit
        self._keeps_rows = keeps_rows
        self._part_s = part_s
        self._state: dict[str, Any] = {
            "status": RUNNING,
            "identity": dict(identity),
            **run,
            "started": _now(),
            "elapsed_s": 0.0,
            "parts": [],
        }
        self._since_s = time.monotonic()
        self._open = _Part()

    @property
    def run(self) -> dict[str, Any]:
        """The content of `run.json`."""
        return self._state

    @property
    def mini_batches_done(self) -> int:
        """How many mini-batches stand in closed parts."""
        return sum(part["mini_batches"] for part in self._state["parts"])

    @property
    def items_done(self) -> int:
        """How many images or rows stand in closed parts, predicted or failed."""
        return sum(part[self._unit] for part in self._state["parts"])

    @property
    def items_failed(self) -> int:
        """How many images or rows failed so far, in closed parts and in the open one."""
        closed = sum(len(part["failures"]) for part in self._state["parts"])
        return closed + len(self._open.failures)

    def begin(self) -> bool:
        """Begin a run or continue one; return False when the very same has already finished.

        Raises:
            AlreadyExists: the folder holds another run, or something else.
            CannotWrite: it cannot be written to.
        """
        place = self._folder / RUN_FILE
        if not place.exists():
            _check_free(self._folder)
            self._save()
            return True
        earlier = files.read_json(place)
        wanted = self._state["identity"]
        said = earlier.get("identity", {})
        if differing := [key for key in wanted if said.get(key) != wanted[key]]:
            raise errors.AlreadyExists(
                "expected a run with the same script, models, data and settings",
                where=str(self._folder),
                got=f"one with other {', '.join(differing)}",
                action="Choose another folder, or delete this one.",
            )
        self._state.update({key: earlier[key] for key in ("started", "elapsed_s", "parts")})
        if earlier["status"] == COMPLETE:
            self._state = earlier
            self._remove_parts()  # killed after the last step but this
            return False
        self._remove_parts(but={part["file"] for part in self._state["parts"]})
        return True

    def write(
        self, rows: ArrowTable | None, *, items: int, failures: Sequence[Mapping[str, Any]]
    ) -> None:
        """Add what came of the next mini-batch.

        Args:
            rows: its predictions; None when it failed.
            items: how many images or rows it had.
            failures: rows of `errors.parquet` for those of them that failed.
        """
        self._open.add(rows, items=items, failures=failures, keeps_rows=self._keeps_rows)
        is_old = time.monotonic() - self._since_s >= self._part_s
        if is_old or self._open.rows >= _ROWS_PER_PART:
            self.close_part()

    def close_part(self) -> None:
        """Make what was written so far part of the result."""
        part = self._open
        if not part.mini_batches:
            return
        name = f"part-{len(self._state['parts']):05d}.parquet" if part.tables else ""
        if name:
            with files.aside(self._folder / name) as path:
                schema = together([table.schema for table in part.tables])
                whole = pa.concat_tables([fitted(table, schema) for table in part.tables])
                pq.write_table(whole, path, compression="zstd")
        record = {
            "file": name or f"part {len(self._state['parts'])} without rows",
            "mini_batches": part.mini_batches,
            self._unit: part.items,
            "predictions": part.rows,
            "failures": part.failures,
        }
        now_s = time.monotonic()
        self._state["elapsed_s"] += now_s - self._since_s
        self._since_s = now_s
        self._state["parts"] = [*self._state["parts"], record]
        self._open = _Part()  # before it is saved: an interruption must not add it twice
        self._save()

    def finish(self, *, refused: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Close the run and return its `run.json`.

        Args:
            refused: rows of `errors.parquet` for files that never were images of the run.
        """
        self.close_part()
        parts = self._state["parts"]
        failed = [row for part in parts for row in part["failures"]]
        self._write_errors([*failed, *refused])
        if self._keeps_rows:
            self._join([self._folder / part["file"] for part in parts if part["predictions"]])
        items = self.items_done
        elapsed_s = max(self._state["elapsed_s"], 1e-9)
        self._state.update(
            status=COMPLETE,
            finished=_now(),
            counts={
                self._unit: items,
                "predictions": sum(part["predictions"] for part in parts),
                "errors": len(failed) + len(refused),
                "mini_batches": sum(part["mini_batches"] for part in parts),
            },
            parts=[],
            **{f"{self._unit}_per_s": round(items / elapsed_s, 3)},
        )
        self._save()
        self._remove_parts()
        return self._state

    def stop(self, failures: Sequence[Mapping[str, Any]]) -> None:
        """Keep what is done, and tell what has failed: those too that end the run."""
        self.close_part()
        earlier = [row for part in self._state["parts"] for row in part["failures"]]
        self._write_errors([*earlier, *failures])

    def _write_errors(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            (self._folder / ERRORS_FILE).unlink(missing_ok=True)  # of a run that was stopped
            return
        with files.aside(self._folder / ERRORS_FILE) as path:
            pq.write_table(pa.Table.from_pylist(list(rows), errors_schema()), path)

    def _join(self, parts: list[Path]) -> None:
        """Write the table, as Parquet and as CSV, a part at a time."""
        schema = together([pq.read_schema(path) for path in parts]) if parts else pa.schema([])
        with (
            files.aside(self._folder / PARQUET) as parquet,
            files.aside(self._folder / CSV) as text,
            pq.ParquetWriter(parquet, schema, compression="zstd") as rows,
            _csv_writer(text, schema) as lines,
        ):
            for path in parts:
                table = fitted(pq.read_table(path), schema)
                rows.write_table(table)
                lines.write_table(table)

    def _remove_parts(self, *, but: Collection[str] = ()) -> None:
        for path in [*self._folder.glob("part-*"), *self._folder.glob(".part-*")]:
            if path.name not in but:
                path.unlink()

    def _save(self) -> None:
        files.write_json(self._folder / RUN_FILE, self._state)


class _Part:
    """What came since the last part was closed."""

    def __init__(self) -> None:
        self.tables: list[ArrowTable] = []
        self.failures: list[dict[str, Any]] = []
        self.mini_batches = 0
        self.items = 0
        self.rows = 0

    def add(
        self,
        rows: ArrowTable | None,
        *,
        items: int,
        failures: Sequence[Mapping[str, Any]],
        keeps_rows: bool,
    ) -> None:
        if rows is not None:
            self.rows += rows.num_rows
            if keeps_rows and rows.num_rows:
                self.tables.append(rows)
        self.failures.extend(dict(failure) for failure in failures)
        self.items += items
        self.mini_batches += 1


def _csv_writer(path: Path, schema: ArrowSchema) -> Any:
    if not schema.names:
        path.touch()
        return contextlib.nullcontext()
    return csv.CSVWriter(path, schema)


def _check_free(folder: Path) -> None:
    if folder.is_file() or (folder.is_dir() and any(p.name != LOCK for p in folder.iterdir())):
        raise errors.AlreadyExists(
            "expected a new folder, an empty one or the result of an earlier job",
            where=str(folder),
            action="Choose another folder.",
        )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
