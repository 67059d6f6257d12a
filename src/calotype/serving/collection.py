"""Keeps inputs and predictions as tables by day, so that people see what a model meets in use.

Off unless asked for. One `data.csv` for inputs and one for predictions a day, which all processes
of a service append to; where requests have different columns, `data-2.csv` and so on. Images
become digests, and files of that name when copies are asked for.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import os
import shutil
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from calotype import errors
from calotype.serving.capture import check_writable, make_private, open_private
from calotype.serving.collected_rows import PREDICTION_COLUMNS, Image, Row, Tabulator
from calotype.serving.exchange import Answer, Request
from calotype.serving.exchange_queue import Exchange, ExchangeQueue
from calotype.serving.journal import Journal

INPUTS: Final = "inputs"
PREDICTIONS: Final = "predictions"
IMAGES: Final = "images"
KEY_COLUMNS: Final = ("time", "request_id", "row")
MAX_SHAPES: Final = 20  # files a day; callers choose the columns, and must not choose how many
MIN_FREE_BYTES: Final = 1 << 30  # of the disk: what is collected must not stop what serves
_HEAD_BYTES: Final = 1 << 20
_UNSEEN: Final = (401, 403)  # of callers who may not score

_Table = tuple[str, str, tuple[str, ...]]
"""Designation, day as `yyyy/mm/dd` and columns."""


class Collection:
    """Appends inputs and predictions to `FOLDER/<inputs|predictions>/yyyy/mm/dd/data.csv`.

    Args:
        folder: of one version of a model.
        with_image_copies: keep images too, each once, in `FOLDER/images`.
        hidden_fields: names whose values are not kept.
        journal: is told when the files cannot be written.

    Raises:
        CannotWrite: nothing can be written to `folder`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        with_image_copies: bool = False,
        hidden_fields: Iterable[str] = (),
        journal: Journal,
    ) -> None:
        self._folder = folder
        self._with_image_copies = with_image_copies
        self._tabulator = Tabulator(tuple(hidden_fields))
        check_writable(folder, "the collected data")
        self._queue = ExchangeQueue("collection", self._write, journal)

    @property
    def dropped(self) -> int:
        """How many exchanges could not be kept."""
        return self._queue.dropped

    def keep(self, request: Request, answer: Answer) -> None:
        """Keep one exchange; never waits, and drops it when too much is waiting."""
        if answer.status not in _UNSEEN:
            self._queue.put(request, answer)

    def close(self) -> None:
        """Write what is waiting and stop."""
        self._queue.close()

    def _write(self, exchanges: Sequence[Exchange]) -> None:
        if shutil.disk_usage(self._folder).free < MIN_FREE_BYTES:
            raise errors.CannotWrite("expected room for collected data", where=str(self._folder))
        lines: dict[_Table, list[str]] = defaultdict(list)
        for exchange in exchanges:
            try:
                self._add(exchange, lines)
            except Exception as error:  # noqa: BLE001 - one must not cost the others
                self._queue.note_failure(error)
        for (designation, day, columns), texts in lines.items():
            append_rows(self._folder / designation / day, columns, "".join(texts))

    def _add(self, exchange: Exchange, lines: dict[_Table, list[str]]) -> None:
        time_s, request, answer = exchange
        inputs = self._tabulator.inputs(request)
        if self._with_image_copies:
            for image in inputs.images:
                self._copy(image)
        moment = datetime.fromtimestamp(time_s, UTC)
        day = moment.strftime("%Y/%m/%d")
        text = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for index, row in enumerate(inputs.rows):
            key = (text, request.request_id, index)
            columns = tuple(row)
            lines[INPUTS, day, columns].append(_line([*key, *row.values()]))
        for index, row in enumerate(self._tabulator.predictions(answer)):
            values = [row.get(name) for name in PREDICTION_COLUMNS]
            line = _line([text, request.request_id, index, *values])
            lines[PREDICTIONS, day, PREDICTION_COLUMNS].append(line)

    def _copy(self, image: Image) -> None:
        path = self._folder / IMAGES / image.digest[:2] / image.file_name
        if path.exists():
            return
        make_private(path.parent)
        temporary = path.with_name(f".{image.digest}.{os.getpid()}")
        temporary.unlink(missing_ok=True)  # of a process of the same id that was killed
        try:
            with open(open_private(temporary), "wb") as file:
                file.write(image.content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def append_rows(folder: Path, columns: Sequence[str], text: str) -> None:
    """Append whole lines to the day's file of these columns; others may do so at the same time.

    Raises:
        CannotWrite: callers have sent too many different columns that day.
    """
    header = _line([*KEY_COLUMNS, *columns]).encode("utf-8", "backslashreplace")
    data = text.encode("utf-8", "backslashreplace")
    make_private(folder)
    for path in _files(folder):
        with _locked(path) as descriptor:
            size = os.fstat(descriptor).st_size
            if size == 0:
                _write_all(descriptor, header + data)
                return
            if os.pread(descriptor, len(header), 0) == header:
                if os.pread(descriptor, 1, size - 1) != b"\n":
                    _cut_last_line(descriptor, size)
                _write_all(descriptor, data)
                return
    raise errors.CannotWrite(
        f"expected at most {MAX_SHAPES} different sets of columns a day", where=str(folder)
    )


def _files(folder: Path) -> Iterator[Path]:
    yield folder / "data.csv"
    for number in range(2, MAX_SHAPES + 1):
        yield folder / f"data-{number}.csv"


@contextlib.contextmanager
def _locked(path: Path) -> Generator[int]:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # held for microseconds, by threads that may wait
        yield descriptor
    finally:
        os.close(descriptor)


def _cut_last_line(descriptor: int, size: int) -> None:
    """Take away the half of a line that a process wrote as it was killed."""
    start = max(0, size - _HEAD_BYTES)
    end = os.pread(descriptor, size - start, start).rfind(b"\n")
    if end >= 0:
        os.ftruncate(descriptor, start + end + 1)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _line(values: Sequence[Any]) -> str:
    """Return a line of CSV; line breaks within are written as `\\n`, so that a row is a line."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([_cell(value) for value in values])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and ("\n" in value or "\r" in value):
        return value.replace("\r", "\\r").replace("\n", "\\n")
    if isinstance(value, bool):
        return str(value).lower()
    return value


def rows_of(path: Path) -> Iterator[Row]:
    """Yield the rows of one file of collected data, all as text."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
