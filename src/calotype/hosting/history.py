"""What a service did minute by minute: requests, failures and how long they took.

Each replica adds a line a minute to one small file a day; readers add the replicas up.
"""

from __future__ import annotations

import contextlib
import csv
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from calotype.serving.daily_tables import append_lines
from calotype.serving.metrics import BUCKETS_MS, Meter

KEPT_DAYS: Final = 90
PERIOD_S: Final = 60.0
_MINUTE: Final = "%Y-%m-%dT%H:%MZ"
_DAY: Final = "%Y-%m-%d"
_NUMBERS: Final = ("requests", "failures", "refused", "total_ms")
COLUMNS: Final = (
    *("minute", "version", "replica", *_NUMBERS),
    *(f"to_{bound}_ms" for bound in BUCKETS_MS),
    "longer",
)


@dataclass(frozen=True, slots=True)
class Minute:
    """What all replicas of a service, or of one of its versions, did in one minute.

    Attributes:
        at: when it began.
        requests: answers of `/score`.
        failures: those with a status of 500 or more.
        refused: those with a status from 400 to 499, and what was turned away before.
        total_ms: sum of how long they took.
        buckets: how many took how long; bounds in `BUCKETS_MS`, and what is above.
    """

    at: datetime
    requests: int
    failures: int
    refused: int
    total_ms: float
    buckets: tuple[int, ...]

    def percentile_ms(self, percent: float) -> float | None:
        """Return how long all but the slowest took, between the bounds in a straight line."""
        return percentile_ms(self.buckets, percent)

    @property
    def mean_ms(self) -> float | None:
        """Return how long one took on average."""
        return self.total_ms / self.requests if self.requests else None


class History:
    """Writes the history of one replica from a thread of its own.

    Args:
        folder: of the service; one file a day.
        version: of the service.
        replica: which of its replicas this is.
        meter: its counters.
        period_s: how often a line is written.
    """

    def __init__(
        self, folder: Path, *, version: str, replica: str, meter: Meter, period_s: float = PERIOD_S
    ) -> None:
        self._folder = folder
        self._names = (version, replica)
        self._meter = meter
        self._period_s = period_s
        self._before = meter.score_counts()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what the last minute has so far, and stop."""
        self._ended.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        remove_old(self._folder)
        while True:
            now_s = time.time()
            began = datetime.fromtimestamp(now_s, UTC)
            self._ended.wait(self._period_s - now_s % self._period_s)
            # A full disk must not end what serves; the next minute has its own line.
            with contextlib.suppress(OSError):
                self._write(began)
            if self._ended.is_set():
                return

    def _write(self, began: datetime) -> None:
        now = self._meter.score_counts()
        since = now - self._before
        self._before = now
        if not since.requests and not since.refused:
            return
        day = self._folder / f"{began.strftime(_DAY)}.csv"
        if not day.exists():
            remove_old(self._folder, today=began)
        numbers = (since.requests, since.failures, since.refused, f"{since.total_ms:.3f}")
        values = (began.strftime(_MINUTE), *self._names, *numbers, *since.buckets)
        append_lines([day], COLUMNS, ",".join(map(str, values)) + "\n")


def remove_old(folder: Path, *, today: datetime | None = None) -> None:
    """Delete the files of days that are kept no longer."""
    oldest = (today or datetime.now(UTC)) - timedelta(days=KEPT_DAYS)
    for path in folder.glob("????-??-??.csv"):
        if path.stem < oldest.strftime(_DAY):
            path.unlink(missing_ok=True)


def read(folder: Path, *, since: datetime, version: str | None = None) -> list[Minute]:
    """Return the minutes in which something happened, in their order.

    Args:
        folder: of the service.
        since: minutes before it do not count.
        version: of this version alone.
    """
    sums: dict[str, list[float]] = {}
    for path in sorted(folder.glob("????-??-??.csv")):
        if path.stem < since.strftime(_DAY):
            continue
        with path.open(encoding="utf-8", newline="") as file:
            _add(csv.DictReader(file), sums, since.strftime(_MINUTE), version)
    return [_minute(text, numbers) for text, numbers in sorted(sums.items())]


def together(minutes: Sequence[Minute]) -> Minute | None:
    """Return several minutes as one."""
    if not minutes:
        return None
    return Minute(
        minutes[0].at,
        sum(minute.requests for minute in minutes),
        sum(minute.failures for minute in minutes),
        sum(minute.refused for minute in minutes),
        sum(minute.total_ms for minute in minutes),
        tuple(sum(column) for column in zip(*(m.buckets for m in minutes), strict=True)),
    )


def percentile_ms(buckets: Sequence[int], percent: float) -> float | None:
    """Return a percentile of counted times; None when there are none.

    >>> percentile_ms((10, 0, 10) + (0,) * 12, 75)
    3.5
    """
    wanted = sum(buckets) * percent / 100
    if not wanted:
        return None
    below = 0
    bounds = (0, *BUCKETS_MS)
    for index, count in enumerate(buckets[:-1]):
        if below + count >= wanted:
            low, high = bounds[index], bounds[index + 1]
            return round(low + (high - low) * (wanted - below) / count, 3)
        below += count
    return float(BUCKETS_MS[-1])


def _add(
    rows: Iterable[dict[str, str]], sums: dict[str, list[float]], since: str, version: str | None
) -> None:
    for row in rows:
        if row["minute"] < since or version not in (None, row["version"]):
            continue
        with contextlib.suppress(ValueError, TypeError):  # half a line, of a killed replica
            numbers = [float(row[name]) for name in COLUMNS[3:]]
            before = sums.get(row["minute"], [0.0] * len(numbers))
            sums[row["minute"]] = [a + b for a, b in zip(before, numbers, strict=True)]


def _minute(text: str, numbers: Sequence[float]) -> Minute:
    at = datetime.strptime(text, _MINUTE).replace(tzinfo=UTC)
    requests, failures, refused = (int(number) for number in numbers[:3])
    buckets = tuple(int(number) for number in numbers[4:])
    return Minute(at, requests, failures, refused, numbers[3], buckets)
