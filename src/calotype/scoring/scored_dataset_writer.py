"""Writing a scored dataset so that a run can be killed at any moment and go on where it was.

Rows go into a part that is invisible until it is closed; `run.json` lists the closed parts with the
images that each stands for. What is not listed there does not exist: a resumed run starts after
the last listed image and writes the same rows again.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calotype import errors, files
from calotype.scored_dataset import (
    COMPLETE,
    ERRORS_FILE,
    RUN_FILE,
    WHOLE_TABLE,
    ScoredSchema,
    errors_schema,
    part_file,
)
from calotype.tables import ArrowSchema, RecordBatch, TableFormat

RUNNING = "running"
_ROWS_PER_PART = 65_536


class ScoredDatasetWriter:
    """The one writer of a scored dataset folder.

    Args:
        folder: where to write; the caller holds its lock.
        schema: the columns.
        identity: what the rows depend on: a run is only continued with the very same.
        run: what else `run.json` says.
        format: of the table.
        part_s: close a part after this many seconds, so that no more work than that is ever lost.
    """

    def __init__(
        self,
        folder: Path,
        schema: ScoredSchema,
        *,
        identity: Mapping[str, Any],
        run: Mapping[str, Any],
        format: TableFormat = "parquet",
        part_s: float = 30.0,
    ) -> None:
        self._folder = folder
        self._schema = schema
        self._format: TableFormat = format
        self._part_s = part_s
        self._state: dict[str, Any] = {
            "status": RUNNING,
            "identity": dict(identity),
            **run,
            "started": _now(),
            "elapsed_s": 0.0,
            "parts": [],
        }
        self._part: _Part | None = None
        self._session_started_s = time.monotonic()

    @property
    def images_done(self) -> int:
        """How many images stand in closed parts, scored or failed."""
        return sum(part["images"] for part in self._state["parts"])

    @property
    def images_failed(self) -> int:
        """How many of them could not be scored."""
        return sum(part["errors"] for part in self._state["parts"])

    def begin(self) -> None:
        """Make the folder of a new run.

        Raises:
            CannotWrite: the folder cannot be written.
        """
        self._schema.write(self._folder)
        self._save()

    def resume(self, earlier: Mapping[str, Any]) -> None:
        """Continue the run whose `run.json` is `earlier`; what it did not list is removed."""
        kept = ("started", "elapsed_s", "parts")
        self._state.update({key: earlier[key] for key in kept})
        listed = {part["file"] for part in earlier["parts"]}
        whole = self._folder / f"{WHOLE_TABLE}.{self._format}"
        if whole.exists():  # killed between the last two steps of finish
            whole.rename(self._folder / earlier["parts"][0]["file"])
        for path in [*self._folder.glob("part-*"), *self._folder.glob(".part-*")]:
            if path.name not in listed:
                path.unlink()
        for name in listed:
            if not (self._folder / name).is_file():
                raise errors.UnreadableFile(
                    "expected every part of the run that is to be continued",
                    where=str(self._folder),
                    got=f"no {name}",
                    action="Delete the folder and score again.",
                )

    def write(
        self, rows: RecordBatch, *, images: int, failures: Sequence[Mapping[str, Any]]
    ) -> None:
        """Add rows; `images` is how many images they stand for, failed ones included.

        Raises:
            CannotWrite: the disk is full or the folder cannot be written.
        """
        if self._part is None:
            number = len(self._state["parts"])
            path = self._folder / part_file(number, format=self._format)
            self._part = _Part(path, rows.schema, format=self._format)
        self._part.write(rows, images=images, failures=failures)
        if self._part.images >= _ROWS_PER_PART or self._part.age_s >= self._part_s:
            self.close_part()

    def close_part(self) -> None:
        """Make what was written so far part of the result.

        Ctrl-C may come at any line of it: calling it again then does what is left to do.
        """
        if self._part is None:
            return
        record = self._part.close()
        others = [part for part in self._state["parts"] if part["file"] != record["file"]]
        self._state["parts"] = [*others, record]
        now_s = time.monotonic()
        self._state["elapsed_s"] += now_s - self._session_started_s
        self._session_started_s = now_s
        self._save()
        self._part = None

    def discard_part(self) -> None:
        """Drop what was written since the last closed part."""
        if self._part is not None:
            self._part.discard()
            self._part = None

    def finish(self, *, refused: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Close the run and return its `run.json`.

        Args:
            refused: rows of `errors.parquet` for files that never were images of the run.
        """
        self.close_part()
        parts = self._state["parts"]
        failed = [row for part in parts for row in part.pop("failures")]
        self._write_errors([*failed, *refused])
        if len(parts) == 1:
            whole = self._folder / f"{WHOLE_TABLE}.{self._format}"
            (self._folder / parts[0]["file"]).rename(whole)
            parts[0]["file"] = whole.name
        counts = {
            "images": sum(part["images"] for part in parts),
            "scored": sum(part["rows"] for part in parts),
            "errors": len(failed) + len(refused),
        }
        elapsed_s = max(self._state["elapsed_s"], 1e-9)
        self._state.update(
            status=COMPLETE,
            finished=_now(),
            counts=counts,
            images_per_s=round(counts["images"] / elapsed_s, 3),
        )
        self._save()
        return self._state

    def _write_errors(self, rows: list[Mapping[str, Any]]) -> None:
        if not rows:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        with files.aside(self._folder / ERRORS_FILE) as path:
            pq.write_table(pa.Table.from_pylist(rows, errors_schema()), path)

    def _save(self) -> None:
        files.write_json(self._folder / RUN_FILE, self._state)


class _Part:
    """One file of rows while it is being written, under a name that no reader looks for."""

    def __init__(self, path: Path, schema: ArrowSchema, *, format: TableFormat) -> None:
        import pyarrow.parquet as pq
        from pyarrow import csv

        self._path = path
        self._hidden = path.with_name(f".{path.name}")
        self._started_s = time.monotonic()
        self._rows = 0
        self._failures: list[dict[str, Any]] = []
        self.images = 0
        try:
            if format == "csv":
                self._writer = csv.CSVWriter(self._hidden, schema)
            else:
                self._writer = pq.ParquetWriter(self._hidden, schema, compression="zstd")
        except OSError as error:
            raise errors.write_error(error, where=str(path)) from error

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._started_s

    def write(
        self, rows: RecordBatch, *, images: int, failures: Sequence[Mapping[str, Any]]
    ) -> None:
        try:
            self._writer.write(rows)
        except OSError as error:
            self.discard()
            raise errors.write_error(error, where=str(self._path)) from error
        self._rows += rows.num_rows
        self.images += images
        self._failures.extend(dict(failure) for failure in failures)

    def close(self) -> dict[str, Any]:
        try:
            self._writer.close()
            if self._hidden.exists():  # else it was closed before, and an interruption came after
                files.flush(self._hidden)
                self._hidden.rename(self._path)
        except OSError as error:
            raise errors.write_error(error, where=str(self._path)) from error
        return {
            "file": self._path.name,
            "images": self.images,
            "rows": self._rows,
            "errors": len(self._failures),
            "failures": self._failures,
        }

    def discard(self) -> None:
        with contextlib.suppress(OSError):  # the disk is full: nobody wants what did not fit
            self._writer.close()
        self._hidden.unlink(missing_ok=True)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
