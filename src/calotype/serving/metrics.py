"""Counters that cost nanoseconds, in memory that all HTTP processes of a service share.

Each process has a row of its own and adds to it without locks; whoever is asked for the metrics
adds the rows up. prometheus-client prints them.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client.core import Metric

STAGES: Final = ("read", "queue", "decode", "infer", "encode")
BUCKETS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000)

OTHER_ROUTES: Final = ("health", "swagger", "metrics", "other")
CLOSED: Final = ("silent", "idle", "slow reader", "too many")

_STATUSES = 600
_STATUS = 0  # requests to /score by status
_REFUSED = _STATUSES  # what the guard turned away, by status
_BUCKET = 2 * _STATUSES  # one for each bucket and one for what is above
_TOTAL_MS = _BUCKET + len(BUCKETS_MS) + 1
_STAGE = _TOTAL_MS + 1  # milliseconds and count of each stage
_ACTIVE = _STAGE + 2 * len(STAGES)
_SINCE = _ACTIVE + 1  # when scoring in the process's own event loop began, 0: it is not
_OTHER = _SINCE + 1
_CLOSED = _OTHER + len(OTHER_ROUTES)
_READY_WORKERS = _CLOSED + len(CLOSED)
_RESTARTS = _READY_WORKERS + 1
_ROW = _RESTARTS + 1
_STAGE_AT: Final = {name: _STAGE + 2 * index for index, name in enumerate(STAGES)}
_OTHER_AT: Final = {name: _OTHER + index for index, name in enumerate(OTHER_ROUTES)}
_CLOSED_AT: Final = {name: _CLOSED + index for index, name in enumerate(CLOSED)}

Reading = tuple[str, str, Callable[[], float]]
"""Name without `calotype_`, help, and how to read it."""


@dataclass(frozen=True, slots=True)
class ScoreCounts:
    """Answers of `/score`: how many, those of status 500 and more, of 400 to 499, and their times.

    What was turned away before it was whole counts as refused too.
    """

    requests: int
    failures: int
    refused: int
    total_ms: float
    buckets: tuple[int, ...]

    def __sub__(self, before: ScoreCounts) -> ScoreCounts:
        """Return what came since."""
        return ScoreCounts(
            self.requests - before.requests,
            self.failures - before.failures,
            self.refused - before.refused,
            self.total_ms - before.total_ms,
            tuple(a - b for a, b in zip(self.buckets, before.buckets, strict=True)),
        )


class Meter:
    """Counts the requests of one process among those of a service.

    Args:
        descriptor: what `shared_memory` gave; None: nobody shares.
        row: which of the processes this is, from 0.

    Attributes:
        gauges, counters: further values, which are read when somebody asks.
    """

    def __init__(self, descriptor: int | None = None, row: int = 0) -> None:
        memory = mmap.mmap(-1, _ROW * 8) if descriptor is None else mmap.mmap(descriptor, 0)
        self._all = memoryview(memory).cast("d")
        self._own = self._all[row * _ROW : (row + 1) * _ROW]
        self._own[_ACTIVE] = self._own[_SINCE] = 0  # of a process that died here before
        self.gauges: list[Reading] = []
        self.counters: list[Reading] = []

    @property
    def scoring_since_s(self) -> float:
        """When the process's event loop began to score, on `time.monotonic`; 0 when it does not."""
        return self._own[_SINCE]

    @scoring_since_s.setter
    def scoring_since_s(self, value: float) -> None:
        self._own[_SINCE] = value

    @property
    def ready_workers(self) -> int:
        """How many workers take requests, as the process that watches them has said."""
        return self._sum(_READY_WORKERS)

    @ready_workers.setter
    def ready_workers(self, value: int) -> None:
        self._own[_READY_WORKERS] = value

    @property
    def restarts(self) -> int:
        """How often a worker was replaced, as the process that watches them has said."""
        return self._sum(_RESTARTS)

    @restarts.setter
    def restarts(self, value: int) -> None:
        self._own[_RESTARTS] = value

    @property
    def in_flight(self) -> int:
        """How many requests the app is answering."""
        return self._sum(_ACTIVE)

    @property
    def refused(self) -> Counter[int]:
        """How many requests of this process were turned away before the app saw them, by status."""
        own = self._own
        return +Counter({status: int(own[_REFUSED + status]) for status in range(_STATUSES)})

    @property
    def closed(self) -> Counter[str]:
        """How many connections of this process were ended without an answer, by reason."""
        return +Counter({reason: int(self._own[at]) for reason, at in _CLOSED_AT.items()})

    def begin(self) -> None:
        """Note that a request has arrived."""
        self._own[_ACTIVE] += 1

    def end_other(self, route: str) -> None:
        """Note that one to another path than `/score` was answered; see `OTHER_ROUTES`."""
        self._own[_ACTIVE] -= 1
        self._own[_OTHER_AT[route]] += 1

    def refuse(self, status: int) -> None:
        """Note that a request was turned away before the app saw it."""
        self._own[_REFUSED + status] += 1

    def close(self, reason: str) -> None:
        """Note that a connection was ended without an answer; see `CLOSED`."""
        self._own[_CLOSED_AT[reason]] += 1

    def end(self, status: int, total_ms: float, timings: Mapping[str, float]) -> None:
        """Note that one to `/score` was answered; `timings` in milliseconds by stage."""
        own = self._own
        own[_ACTIVE] -= 1
        own[_STATUS + status] += 1
        own[_BUCKET + bisect_left(BUCKETS_MS, total_ms)] += 1
        own[_TOTAL_MS] += total_ms
        for stage, elapsed_ms in timings.items():
            at = _STAGE_AT[stage]
            own[at] += elapsed_ms
            own[at + 1] += 1

    def prometheus_text(self, service: str) -> bytes:
        """Return all metrics of the service in the text format of Prometheus."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(self, service))
        return generate_latest(registry)

    def totals(self) -> list[float]:
        """Return the sum of the rows of all processes."""
        count = len(self._all) // _ROW
        rows = [self._all[at * _ROW : (at + 1) * _ROW] for at in range(count)]
        return [sum(column) for column in zip(*rows, strict=True)]

    def score_counts(self) -> ScoreCounts:
        """Return what all processes have answered at `/score` so far."""
        totals = self.totals()
        answers = totals[_STATUS : _STATUS + _STATUSES]
        return ScoreCounts(
            requests=int(sum(answers)),
            failures=int(sum(answers[500:])),
            refused=int(sum(answers[400:500]) + sum(totals[_REFUSED : _REFUSED + _STATUSES])),
            total_ms=totals[_TOTAL_MS],
            buckets=tuple(int(count) for count in totals[_BUCKET:_TOTAL_MS]),
        )

    def _sum(self, column: int) -> int:
        return int(sum(self._all[at] for at in range(column, len(self._all), _ROW)))


def shared_memory(rows: int) -> int:
    """Return a descriptor of memory for the counters of `rows` processes."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("calotype-counters")
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, rows * _ROW * 8)
    return descriptor


class _Collector:
    def __init__(self, meter: Meter, service: str) -> None:
        self._meter = meter
        self._service = service

    def collect(self) -> Iterator[Metric]:
        totals = self._meter.totals()
        yield self._counter("requests", "Answers of /score.", "status", _by_status(totals, _STATUS))
        yield self._counter(
            "other_requests",
            "Answers of other paths.",
            "path",
            ((route, totals[at]) for route, at in _OTHER_AT.items()),
        )
        yield self._counter(
            "refused_connections",
            "Requests refused before they were whole.",
            "status",
            _by_status(totals, _REFUSED),
        )
        yield self._counter(
            "closed_connections",
            "Connections ended without an answer.",
            "reason",
            ((reason, totals[at]) for reason, at in _CLOSED_AT.items()),
        )
        yield from self._times(totals)
        yield from self._readings(totals[_ACTIVE])

    def _counter(
        self, name: str, text: str, label: str, values: Iterable[tuple[str, float]]
    ) -> Metric:
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily(f"calotype_{name}", text, labels=["service", label])
        for value, count in values:
            family.add_metric([self._service, value], count)
        return family

    def _times(self, totals: list[float]) -> Iterator[Metric]:
        from prometheus_client.core import HistogramMetricFamily, SummaryMetricFamily

        seconds = HistogramMetricFamily(
            "calotype_request_seconds", "Of /score, from headers to answer.", labels=["service"]
        )
        seconds.add_metric([self._service], _cumulated(totals), totals[_TOTAL_MS] / 1000)
        yield seconds
        stages = SummaryMetricFamily(
            "calotype_stage_seconds", "Time of each stage.", labels=["service", "stage"]
        )
        for name, at in _STAGE_AT.items():
            stages.add_metric([self._service, name], int(totals[at + 1]), totals[at] / 1000)
        yield stages

    def _readings(self, active: float) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for name, text, read in self._meter.counters:
            counter = CounterMetricFamily(f"calotype_{name}", text, labels=["service"])
            counter.add_metric([self._service], read())
            yield counter
        requests: Reading = ("requests_active", "Requests being answered.", lambda: active)
        for name, text, read in (requests, *self._meter.gauges):
            gauge = GaugeMetricFamily(f"calotype_{name}", text, labels=["service"])
            gauge.add_metric([self._service], read())
            yield gauge


def _by_status(totals: list[float], start: int) -> Iterator[tuple[str, float]]:
    for status in range(_STATUSES):
        if totals[start + status]:
            yield str(status), totals[start + status]


def _cumulated(totals: list[float]) -> list[tuple[str, float]]:
    bounds = [*(str(bound / 1000) for bound in BUCKETS_MS), "+Inf"]
    below, found = 0.0, list[tuple[str, float]]()
    for index, bound in enumerate(bounds):
        below += totals[_BUCKET + index]
        found.append((bound, below))
    return found
