"""`metrics.html`: requests, failures and times of a service as charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from calotype.hosting.history import Minute, together
from calotype.pages import page
from calotype.pages.charts import Chart
from calotype.pages.days import Series, time_chart
from calotype.pages.wording import NOTHING, count, percent

PERCENTILES = (50, 90, 95, 99)
_MOST_PLACES = 120
_ROOM = timedelta(minutes=5)  # before the first minute with requests, and after the last


@dataclass(frozen=True, slots=True)
class Step:
    """Some minutes as one place of a chart; `sum` is None when nothing happened."""

    at: datetime
    minutes: int
    sum: Minute | None


def steps_of(minutes: Sequence[Minute], *, since: datetime, until: datetime) -> list[Step]:
    """Return the time from `since` to `until` in equal steps, few enough for a chart."""
    total = max(1, math.ceil((until - since).total_seconds() / 60))
    width = -(-total // _MOST_PLACES)
    start = since.replace(second=0, microsecond=0)
    groups: dict[int, list[Minute]] = {}
    for minute in minutes:
        groups.setdefault(int((minute.at - start).total_seconds() // 60) // width, []).append(
            minute
        )
    return [
        Step(start + timedelta(minutes=index * width), width, together(groups.get(index, [])))
        for index in range(-(-total // width))
    ]


def render(service: str, minutes: Sequence[Minute], *, since: datetime, until: datetime) -> str:
    """Return the page as HTML; it loads nothing and runs nothing."""
    whole = together(minutes)
    assert whole is not None
    # Not the whole day for an hour of requests: they would be lost in it.
    since = max(since, min(minute.at for minute in minutes) - _ROOM)
    until = min(until, max(minute.at for minute in minutes) + _ROOM)
    steps = steps_of(minutes, since=since, until=until)
    failed = percent((whole.failures) / max(whole.requests, 1))
    cards = [
        (
            "Requests",
            count(whole.requests),
            f"{whole.requests / _minutes(since, until):,.1f} a minute",
        ),
        ("Failures", count(whole.failures), failed),
        ("Refused", count(whole.refused), "status 400 to 499"),
        *((f"P{p}", ms_text(whole.percentile_ms(p)), "of answers") for p in (50, 95, 99)),
    ]
    return page.render(
        "calotype.webservice",
        "metrics.html.j2",
        style="drift.css.j2",
        filters={},
        title=f"Metrics of {service}",
        period=f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC",
        cards=cards,
        charts=_charts(steps),
        step_minutes=steps[0].minutes,
    )


def ms_text(value: float | None) -> str:
    """Return a time in milliseconds, or a dash."""
    return NOTHING if value is None else f"{value:,.3g} ms" if value < 1000 else f"{value:,.0f} ms"


def _minutes(since: datetime, until: datetime) -> float:
    return max(1.0, (until - since).total_seconds() / 60)


def _charts(steps: Sequence[Step]) -> list[Chart]:
    moments = [step.at.astimezone(UTC) for step in steps]
    format = "%H:%M" if moments[-1] - moments[0] <= timedelta(days=2) else "%d %b"

    length = steps[0].minutes
    each = "A minute" if length == 1 else f"In {length} minutes"

    def chart(title: str, y_label: str, series: Sequence[Series], *, is_whole: bool) -> Chart:
        return time_chart(
            title, y_label, moments, series, x_label="Time (UTC)", format=format, is_whole=is_whole
        )

    return [
        chart("Requests", each, [Series("answered", _of(steps, "requests"))], is_whole=True),
        chart(
            "Failures",
            each,
            [
                Series("failed", _of(steps, "failures"), style="1"),
                Series("refused", _of(steps, "refused"), style="4"),
            ],
            is_whole=True,
        ),
        chart(
            "Latency",
            "Milliseconds",
            [
                Series(f"P{percent}", _percentile(steps, percent), style=str(style))
                for style, percent in enumerate((50, 95, 99))
            ],
            is_whole=False,
        ),
    ]


def _of(steps: Sequence[Step], name: str) -> tuple[float, ...]:
    return tuple(float(getattr(step.sum, name)) if step.sum else 0.0 for step in steps)


def _percentile(steps: Sequence[Step], percent: float) -> tuple[float, ...]:
    found = [step.sum.percentile_ms(percent) if step.sum else None for step in steps]
    return tuple(math.nan if value is None else value for value in found)
