"""Keeps inputs and predictions as tables by day, so that people see what a model meets in use.

Off unless asked for. One `data.csv` for inputs and one for predictions a day, which all processes
of a service append to; where requests have different columns, `data-2.csv` and so on. Images
become digests, and files of that name when copies are asked for.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from calotype import errors
from calotype.serving.collected_rows import PREDICTION_COLUMNS, Image, Tabulator
from calotype.serving.daily_tables import append_lines, line_of
from calotype.serving.exchange import Answer, Request
from calotype.serving.exchange_queue import Exchange, ExchangeQueue
from calotype.serving.journal import Journal
from calotype.serving.private_files import check_writable, make_private, open_private

INPUTS: Final = "inputs"
PREDICTIONS: Final = "predictions"
IMAGES: Final = "images"
KEY_COLUMNS: Final = ("time", "request_id", "row")
MAX_SHAPES: Final = 20  # files a day; callers choose the columns, and must not choose how many
MIN_FREE_BYTES: Final = 1 << 30  # of the disk: what is collected must not stop what serves
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
            lines[INPUTS, day, columns].append(line_of([*key, *row.values()]))
        for index, row in enumerate(self._tabulator.predictions(answer)):
            values = [row.get(name) for name in PREDICTION_COLUMNS]
            line = line_of([text, request.request_id, index, *values])
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
    append_lines(_files(folder), [*KEY_COLUMNS, *columns], text)


def _files(folder: Path) -> Iterator[Path]:
    yield folder / "data.csv"
    for number in range(2, MAX_SHAPES + 1):
        yield folder / f"data-{number}.csv"
