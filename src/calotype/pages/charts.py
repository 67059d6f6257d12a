"""The geometry of charts; the templates draw it as SVG.

All coordinates are in units of the drawing, y downwards; the page scales them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_STYLES = 10  # colours and dashes in base.css.j2
_STEPS = 5  # at most so many between the ends of an axis
_WHOLE_STEPS = 10


@dataclass(frozen=True)
class Tick:
    """A place on an axis and what is written there."""

    value: float
    text: str


@dataclass(frozen=True)
class Axis:
    """A linear scale from `low` to `high`."""

    low: float
    high: float
    ticks: tuple[Tick, ...]

    @classmethod
    def around(
        cls,
        values: Sequence[float],
        *,
        low: float | None = None,
        high: float | None = None,
        is_whole: bool = False,
        is_percent: bool = False,
    ) -> Axis:
        """Choose ends and round ticks for some values; those that are not finite do not count.

        Args:
            values: what will be drawn.
            low: the lower end, if it is given.
            high: the upper end, if it is given.
            is_whole: ticks stand at whole numbers alone.
            is_percent: the values are parts of one, and ticks say percentages.
        """
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        bottom = min(finite) if low is None else low
        top = max([*finite, bottom]) if high is None else high
        step = _round_step(top - bottom, is_whole=is_whole)
        first = math.floor(bottom / step + 1e-9) if low is None else bottom / step
        last = math.ceil(top / step - 1e-9) if high is None else top / step
        if last - first < 1e-9:  # all values are the same
            first, last = (first - 1, last) if high is not None else (first, last + 1)
        places = [step * k for k in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1)]
        return cls(
            low=step * first,
            high=step * last,
            ticks=tuple(Tick(place, _text(place, step, is_percent=is_percent)) for place in places),
        )

    def part(self, value: float) -> float:
        """Return where a value stands: 0 at the lower end, 1 at the upper."""
        return (value - self.low) / (self.high - self.low)


def _round_step(width: float, *, is_whole: bool) -> float:
    """Return the smallest of 1, 2, 2.5, 5 times a power of ten that makes few ticks."""
    if width <= 0:
        return 1.0
    most = _WHOLE_STEPS if is_whole else _STEPS
    power = 10 ** math.floor(math.log10(width / most))
    factors = (1.0, 2.0, 5.0, 10.0) if is_whole else (1.0, 2.0, 2.5, 5.0, 10.0)
    step = next(power * factor for factor in factors if power * factor * most >= width * 0.999)
    return max(1.0, step) if is_whole else step


def _text(value: float, step: float, *, is_percent: bool) -> str:
    scale = 100 if is_percent else 1
    if not is_percent and (step < 1e-3 or abs(value) >= 1e5):
        return f"{round(value / step) * step:.3g}"
    decimals = max(0, -math.floor(math.log10(step * scale) + 1e-9))
    if not math.isclose(round(step * scale, decimals), step * scale):  # 2.5, 0.25, …
        decimals += 1
    return f"{value * scale:,.{decimals}f}" + (" %" if is_percent else "")


UNIT = Axis(0, 1, tuple(Tick(at, str(at)) for at in (0, 0.25, 0.5, 0.75, 1)))


@dataclass(frozen=True)
class Frame:
    """The rectangle in which two axes span a chart."""

    x: Axis
    y: Axis
    width: float = 300.0
    height: float = 300.0
    left: float = 50.0
    top: float = 8.0

    def x_of(self, value: float) -> float:
        """Return where a value of the horizontal axis stands."""
        return round(self.left + self.x.part(value) * self.width, 1)

    def y_of(self, value: float) -> float:
        """Return where a value of the vertical axis stands."""
        return round(self.top + (1 - self.y.part(value)) * self.height, 1)

    def points(self, places: Sequence[tuple[float, float]]) -> str:
        """Return places as an SVG `polyline` takes them."""
        return " ".join(f"{self.x_of(x)},{self.y_of(y)}" for x, y in places)


@dataclass(frozen=True)
class Dot:
    """One measured place of a curve."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Line:
    """One curve of a chart.

    Args:
        name: what it is called in the legend.
        number: what stands beside the name.
        style: number of its colour and dashes, or `mean`.
        pieces: each for an SVG `polyline`; a curve is broken where it has no value.
        dots: its measured places, where they shall be seen.
        is_ours: the name is our word, and no class's.
    """

    name: str
    number: str
    style: str
    pieces: tuple[str, ...]
    dots: tuple[Dot, ...] = ()
    is_ours: bool = False


@dataclass(frozen=True)
class Chart:
    """Curves in a frame.

    Args:
        title: of the chart.
        x_label: of the horizontal axis.
        y_label: of the vertical axis.
        note: beneath the legend.
        frame: with the axes.
        lines: the curves, the most important one first.
        has_diagonal: draw the line from one corner to the other.
        mark: a place on the horizontal axis that a vertical line shows.
    """

    title: str
    x_label: str
    y_label: str
    note: str
    frame: Frame
    lines: tuple[Line, ...]
    has_diagonal: bool = False
    mark: float | None = None


def styles() -> Iterator[str]:
    """Return the colours and dashes, each the farthest from the one before, over and over."""
    return (str(style) for style in itertools.cycle(range(_STYLES)))


def unbroken(places: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Cut a curve where it has no finite value."""
    pieces = itertools.groupby(places, key=lambda place: all(map(math.isfinite, place)))
    return [list(piece) for is_finite, piece in pieces if is_finite]
