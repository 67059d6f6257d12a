"""The front door's counters in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from calotype.hosting.counts import BOUNDS_MS, VersionCounts
from calotype.hosting.door_table import DoorTable, VersionTarget
from calotype.serving.metrics import BUCKETS_MS, Meter

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
_OF: Final = ("service", "version")


def prometheus_text(table: DoorTable, meter: Meter, connections: Callable[[], int]) -> bytes:
    """Return all metrics of the door."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(table, meter, connections))
    return generate_latest(registry)


class _Collector:
    def __init__(self, table: DoorTable, meter: Meter, connections: Callable[[], int]) -> None:
        self._table = table
        self._meter = meter
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        versions = list(self._table.versions())
        yield self._requests(versions)
        yield self._latency(versions)
        for name, text, value in (
            ("in_flight", "Requests without an answer.", _in_flight),
            ("replicas", "Replicas that there are.", _replicas),
            ("ready_replicas", "Replicas that take requests.", _ready),
        ):
            gauge = GaugeMetricFamily(f"calotype_door_{name}", text, labels=_OF)
            for one in versions:
                gauge.add_metric((one.service, one.name), value(one))
            yield gauge
        copies = CounterMetricFamily(
            "calotype_door_mirrored", "Copies of requests.", labels=(*_OF, "outcome")
        )
        for one in versions:
            for outcome, count in _outcomes(one.counts):
                copies.add_metric((one.service, one.name, outcome), count)
        yield copies
        refused = CounterMetricFamily(
            "calotype_door_refused", "Turned away before a service was asked.", labels=("status",)
        )
        for status, count in sorted(self._meter.refused.items()):
            refused.add_metric((str(status),), count)
        yield refused
        open_ones = GaugeMetricFamily("calotype_door_connections", "Open ones of callers.")
        open_ones.add_metric((), self._connections())
        yield open_ones

    def _requests(self, versions: list[VersionTarget]) -> Metric:
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily(
            "calotype_door_requests", "Answers.", labels=(*_OF, "status_class")
        )
        for one in versions:
            classes: Counter[str] = Counter()
            for status, count in one.counts.statuses.items():
                classes[f"{status // 100}xx"] += count
            for name, count in sorted(classes.items()):
                family.add_metric((one.service, one.name, name), count)
        return family

    def _latency(self, versions: list[VersionTarget]) -> Metric:
        from prometheus_client.core import HistogramMetricFamily

        family = HistogramMetricFamily(
            "calotype_door_latency_seconds", "From the whole request to its answer.", labels=_OF
        )
        for one in versions:
            family.add_metric(
                (one.service, one.name), _buckets(one.counts), one.counts.total_ms / 1000
            )
        return family


def _buckets(counts: VersionCounts) -> list[tuple[str, float]]:
    """Return the cumulative counts for the bounds that services tell theirs for."""
    found: list[tuple[str, float]] = []
    seen = 0
    for bound, count in zip(BOUNDS_MS, counts.latencies, strict=False):
        seen += count
        if bound in BUCKETS_MS:
            found.append((str(bound / 1000), seen))
    return [*found, ("+Inf", sum(counts.latencies))]


def _in_flight(version: VersionTarget) -> int:
    return version.counts.in_flight


def _replicas(version: VersionTarget) -> int:
    return len(version.links)


def _ready(version: VersionTarget) -> int:
    return sum(link.is_ready for link in version.links.values())


def _outcomes(counts: VersionCounts) -> list[tuple[str, int]]:
    return [
        ("sent", counts.mirrored),
        ("failed", counts.mirror_failures),
        ("dropped", counts.mirror_dropped),
    ]
