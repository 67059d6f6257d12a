"""Counters that cost nanoseconds, in memory that all HTTP processes of a service share.

Each process has a row of its own and adds to it without locks; whoever is asked for the metrics
adds the rows up. prometheus-client prints them.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client.core import Metric

STAGES: Final = ("read", "queue", "decode", "infer", "encode")
BUCKETS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000)

_STATUS = 0  # 600 counters, by status
_BUCKET = 600  # one for each bucket and one for what is above
_TOTAL_MS = _BUCKET + len(BUCKETS_MS) + 1
_STAGE = _TOTAL_MS + 1  # milliseconds and count of each stage
_ACTIVE = _STAGE + 2 * len(STAGES)
_SINCE = _ACTIVE + 1  # when scoring in the process's own event loop began, 0: it is not
_ROW = _SINCE + 1
_STAGE_AT: Final = {name: _STAGE + 2 * index for index, name in enumerate(STAGES)}

Gauge = tuple[str, str, Callable[[], float]]
"""Name without `calotype_`, help, and how to read it."""


class Meter:
    """Counts the requests of one process among those of a service.

    Args:
        descriptor: what `shared_memory` gave; None: nobody shares.
        row: which of the processes this is, from 0.
    """

    def __init__(self, descriptor: int | None = None, row: int = 0) -> None:
        memory = mmap.mmap(-1, _ROW * 8) if descriptor is None else mmap.mmap(descriptor, 0)
        self._all = memoryview(memory).cast("d")
        self._own = self._all[row * _ROW : (row + 1) * _ROW]
        self._own[_ACTIVE] = self._own[_SINCE] = 0  # of a process that died here before
        self.gauges: list[Gauge] = []

    @property
    def scoring_since_s(self) -> float:
        """When the process's event loop began to score, on `time.monotonic`; 0 when it does not."""
        return self._own[_SINCE]

    @scoring_since_s.setter
    def scoring_since_s(self, value: float) -> None:
        self._own[_SINCE] = value

    def begin(self) -> None:
        """Note that a request has arrived."""
        self._own[_ACTIVE] += 1

    def end(self, status: int, total_ms: float, timings: Mapping[str, float]) -> None:
        """Note that it was answered; `timings` in milliseconds by stage."""
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
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
            SummaryMetricFamily,
        )

        totals, service = self._meter.totals(), self._service
        requests = CounterMetricFamily(
            "calotype_requests", "Answered requests.", labels=["service", "status"]
        )
        for status in range(600):
            if totals[_STATUS + status]:
                requests.add_metric([service, str(status)], totals[_STATUS + status])
        yield requests
        seconds = HistogramMetricFamily(
            "calotype_request_seconds", "From headers to answer.", labels=["service"]
        )
        seconds.add_metric([service], _cumulated(totals), totals[_TOTAL_MS] / 1000)
        yield seconds
        stages = SummaryMetricFamily(
            "calotype_stage_seconds", "Time of each stage.", labels=["service", "stage"]
        )
        for name, at in _STAGE_AT.items():
            stages.add_metric([service, name], int(totals[at + 1]), totals[at] / 1000)
        yield stages
        active = ("requests_active", "Requests being answered.", lambda: totals[_ACTIVE])
        for name, text, read in (active, *self._meter.gauges):
            gauge = GaugeMetricFamily(f"calotype_{name}", text, labels=["service"])
            gauge.add_metric([service], read())
            yield gauge


def _cumulated(totals: list[float]) -> list[tuple[str, float]]:
    bounds = [*(str(bound / 1000) for bound in BUCKETS_MS), "+Inf"]
    below, found = 0.0, list[tuple[str, float]]()
    for index, bound in enumerate(bounds):
        below += totals[_BUCKET + index]
        found.append((bound, below))
    return found
