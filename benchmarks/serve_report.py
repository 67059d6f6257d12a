"""From single measurements to medians, ratios, goals and tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One load of one server in one round; memory in MB."""

    server: str
    connections: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    errors: int
    start_s: float
    rss_mb: float
    pss_idle_mb: float
    pss_mb: float
    is_disturbed: bool


@dataclass(frozen=True, slots=True)
class Row:
    """The medians of all rounds; errors and disturbed rounds are counted."""

    server: str
    connections: int
    rounds: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    errors: int
    start_s: float
    rss_mb: float
    pss_idle_mb: float
    pss_mb: float
    disturbed: int


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure to reach; `value` is None when it could not be measured."""

    what: str
    value: float | None
    limit: float
    is_minimum: bool = True

    @property
    def is_reached(self) -> bool:
        """Whether the value keeps the limit."""
        if self.value is None:
            return False
        return self.value >= self.limit if self.is_minimum else self.value <= self.limit


def summarize(samples: Iterable[Sample]) -> list[Row]:
    """Return a row for each server and number of connections, in the order of their first one."""
    groups: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.server, sample.connections), []).append(sample)
    return [_row(group) for group in groups.values()]


def find(rows: Iterable[Row], server: str, connections: int) -> Row | None:
    """Return the row of a server, or None when it was not measured."""
    wanted = (server, connections)
    return next((row for row in rows if (row.server, row.connections) == wanted), None)


def ratio(of: float | None, to: float | None) -> float | None:
    """Return a quotient, or None when one of its sides was not measured."""
    return of / to if of is not None and to else None


def rate_of(row: Row | None) -> float | None:
    """Return the rate of a row that may be missing; none for one that answered with errors."""
    return row.rate if row and not row.errors else None


def p99_of(row: Row | None) -> float | None:
    """Return the 99th percentile of a row that may be missing."""
    return row.p99_ms if row else None


def table(rows: Sequence[Row], reference: str) -> str:
    """Return the rows as text, each with its rate as a multiple of the reference's.

    Args:
        rows: in the order to print.
        reference: name of the server that the ratios are to.
    """
    width = max((len(row.server) for row in rows), default=0) + 2
    titles = ("conn", "n", "req/s", "ratio", "p50 ms", "p99 ms", "CPU us/req", "errors")
    memory = ("first 200 s", "RSS MB", "PSS idle", "PSS load")
    lines = [f"{'server':{width}}" + "".join(f"{title:>12}" for title in (*titles, *memory))]
    for row in rows:
        base = find(rows, reference, row.connections)
        times = ratio(row.rate, base.rate if base else None)
        cells = (
            *(str(row.connections), str(row.rounds), f"{row.rate:,.1f}"),
            *("-" if times is None else f"{times:.2f}", f"{row.p50_ms:.2f}", f"{row.p99_ms:.2f}"),
            *(f"{row.cpu_us:,.0f}", str(row.errors), f"{row.start_s:.2f}"),
            *(f"{value:.0f}" for value in (row.rss_mb, row.pss_idle_mb, row.pss_mb)),
        )
        mark = f"  ! {row.disturbed} disturbed" if row.disturbed else ""
        lines.append(f"{row.server:{width}}" + "".join(f"{cell:>12}" for cell in cells) + mark)
    return "\n".join(lines)


def goals_table(goals: Sequence[Goal]) -> str:
    """Return the goals as text, each with what was measured."""
    width = max((len(goal.what) for goal in goals), default=0) + 2
    return "\n".join(
        f"{'reached' if goal.is_reached else 'MISSED ':9}{goal.what:{width}}"
        f"{'not measured' if goal.value is None else f'{goal.value:.3g}':>12}"
        f"  {'>=' if goal.is_minimum else '<='} {goal.limit:.3g}"
        for goal in goals
    )


def _row(samples: Sequence[Sample]) -> Row:
    def median(name: str) -> float:
        return statistics.median(getattr(sample, name) for sample in samples)

    names = ("rate", "p50_ms", "p99_ms", "cpu_us", "start_s", "rss_mb", "pss_idle_mb", "pss_mb")
    return Row(
        server=samples[0].server,
        connections=samples[0].connections,
        rounds=len(samples),
        errors=sum(sample.errors for sample in samples),
        disturbed=sum(sample.is_disturbed for sample in samples),
        **{name: median(name) for name in names},
    )
