"""Charts over time: an axis of days or minutes, and lines with a dot at each measured place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from calotype.pages.charts import Axis, Chart, Dot, Frame, Line, Tick, unbroken

_TICKS = 6
_ROOM = 0.03  # of the axis, on either side: what is written below needs it
_DAY_S = 86_400.0
_LONG_S = 2 * _DAY_S
_ROUND_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720)
_MOST_DOTS = 45


@dataclass(frozen=True, slots=True)
class Series:
    """One value at each moment.

    Attributes:
        values: NaN where there is none.
        number: what stands beside the name in the legend.
        texts: what each dot says.
        is_ours: the name is our word, and no class's.
    """

    name: str
    values: tuple[float, ...]
    number: str = ""
    style: str = "0"
    texts: tuple[str, ...] = ()
    is_ours: bool = True


def time_chart(
    title: str,
    y_label: str,
    moments: Sequence[datetime],
    series: Sequence[Series],
    *,
    note: str = "",
    x_label: str = "Day (UTC)",
    format: str = "%d %b",
    is_percent: bool = False,
    is_whole: bool = False,
    high: float | None = None,
) -> Chart:
    """Return a chart of values over time.

    Args:
        title: of the chart.
        y_label: of the vertical axis.
        moments: when, in order; at least one.
        series: the values at those moments.
        note: beneath the legend.
        x_label: of the horizontal axis.
        format: of the moments on the axis.
        is_percent: values are parts of one.
        is_whole: values are whole numbers.
        high: the upper end of the vertical axis, if it is given.
    """
    values = [value for one in series for value in one.values]
    y = Axis.around(values, low=0.0, high=high, is_whole=is_whole, is_percent=is_percent)
    frame = Frame(_time_axis(moments, format), y, width=420.0, height=220.0)
    lines = tuple(_line(one, moments, frame) for one in series)
    return Chart(title, x_label, y_label, note, frame, lines)


def _time_axis(moments: Sequence[datetime], format: str) -> Axis:
    first, last = moments[0].timestamp(), moments[-1].timestamp()
    if first == last:
        half = _DAY_S / 2
        return Axis(first - half, last + half, (Tick(first, moments[0].strftime(format)),))
    room = _ROOM * (last - first)
    ticks = tuple(Tick(at.timestamp(), at.strftime(format)) for at in _marked(moments))
    return Axis(first - room, last + room, ticks)


def _marked(moments: Sequence[datetime]) -> Sequence[datetime]:
    """Return few of them: those of round hours on short axes."""
    length_s = (moments[-1] - moments[0]).total_seconds()
    if length_s > _LONG_S:
        return moments[:: max(1, round((len(moments) - 1) / _TICKS))]
    step_s = next((60 * step for step in _ROUND_MINUTES if 60 * step * _TICKS >= length_s), _DAY_S)
    first_s = -(-moments[0].timestamp() // step_s) * step_s
    count = int((moments[-1].timestamp() - first_s) // step_s) + 1
    return [datetime.fromtimestamp(first_s + step_s * index, UTC) for index in range(count)]


def _line(series: Series, moments: Sequence[datetime], frame: Frame) -> Line:
    places = [
        (moment.timestamp(), value) for moment, value in zip(moments, series.values, strict=True)
    ]
    pieces = unbroken(places)
    alone = {piece[0] for piece in pieces if len(piece) == 1}  # no line shows those
    has_few = sum(map(len, pieces)) <= _MOST_DOTS
    texts = series.texts or tuple(f"{value:,.4g}" for value in series.values)
    dots = tuple(
        Dot(frame.x_of(x), frame.y_of(y), f"{series.name}, {moment:%d %b %H:%M}: {text}")
        for (x, y), text, moment in zip(places, texts, moments, strict=True)
        if math.isfinite(y) and (has_few or (x, y) in alone)
    )
    return Line(
        name=series.name,
        number=series.number,
        style=series.style,
        pieces=tuple(frame.points(piece) for piece in pieces if len(piece) > 1),
        dots=dots,
        is_ours=series.is_ours,
    )
