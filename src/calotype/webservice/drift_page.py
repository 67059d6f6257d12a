"""`drift.html`: what a service predicts, beside what its model predicted for validation images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time

from calotype.models.validation_predictions import CONFIDENCE_BINS
from calotype.pages import page
from calotype.pages.charts import Axis, Chart, Dot, Frame, Line, styles
from calotype.pages.days import Series, time_chart
from calotype.pages.wording import NOTHING, class_name, count, percent
from calotype.webservice.drift import (
    LEVEL,
    LITTLE_PSI,
    MUCH_PSI,
    ClassShift,
    Drift,
)
from calotype.webservice.drift_measurement import RECENT_DAYS
from calotype.webservice.drift_novelty import NOVEL

_MOST_LINES = 8
_NAMED = 3
_BAR = 150.0


@dataclass(frozen=True, slots=True)
class Card:
    """One of the numbers that come first, and what stands beside it."""

    title: str
    text: str
    beside: str = ""


def render(drift: Drift) -> str:
    """Return the page as HTML; it loads nothing and runs nothing."""
    widest = max((max(s.share, s.reference_share) for s in drift.classes), default=0) or 1.0

    def bar_width(share: float) -> str:
        return f"{_BAR * share / widest:.1f}"

    return page.render(
        "calotype.webservice",
        "drift.html.j2",
        style="drift.css.j2",
        filters={
            "signed_percent": signed_percent,
            "p_value": p_value_text,
            "psi": psi_text,
            "bar": bar_width,
        },
        title=f"Drift of {drift.service}",
        drift=drift,
        verdict=verdict(drift),
        cards=_cards(drift),
        charts=[*_day_charts(drift), *_sure_charts(drift)],
        bar=_BAR,
        level=LEVEL,
        little=LITTLE_PSI,
        much=MUCH_PSI,
        bins=CONFIDENCE_BINS,
    )


def verdict(drift: Drift) -> str:
    """Say in a sentence or two what was found."""
    against = f"from those for {drift.reference_is}"
    match drift.judgement:
        case "no reference":
            return (
                f"There is nothing to compare with yet: the model knows no validation predictions, "
                f"and all that was collected is of {drift.reference_is}. "
                "Later days are compared with it."
            )
        case "too few":
            return (
                f"{count(drift.predictions)} predictions are too few to say whether they differ "
                f"{against}."
            )
        case "none":
            return f"Nothing shows that the predictions differ {against}."
        case "slight":
            size = "differ slightly, but hardly by chance,"
        case "drift":
            size = "differ much" if drift.largest_psi >= MUCH_PSI else "differ"
    said = [f"The predictions {size} {against}."]
    for shifts, word in ((drift.grown, "More often than expected"), (drift.shrunk, "Less often")):
        if shifts:
            said.append(f"{word}: {_names(shifts)}.")
    if drift.recent is not None and drift.recent.psi > drift.total.psi:
        said.append(
            f"It is getting more: the index of the last {RECENT_DAYS} days is "
            f"{psi_text(drift.recent.psi)}."
        )
    return " ".join(said)


def signed_percent(share: float) -> str:
    """Return a change in percent of all predictions, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "\N{MINUS SIGN}")


def p_value_text(value: float | None) -> str:
    """Return a p-value; none for what could not be tested."""
    if value is None:
        return NOTHING
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def psi_text(value: float) -> str:
    """Return a population stability index."""
    return f"{value:.3f}"


def days_text(count: int) -> str:
    """Return on how many days something was collected."""
    return "on 1 day" if count == 1 else f"on {count} days"


def _names(shifts: Sequence[ClassShift]) -> str:
    texts = [
        f"{class_name(shift.name)} ({percent(shift.share)} instead of "
        f"{percent(shift.reference_share)})"
        for shift in shifts[:_NAMED]
    ]
    more = len(shifts) - _NAMED
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")


def _cards(drift: Drift) -> Iterator[Card]:
    failed = sum(day.collected.failed for day in drift.days)
    yield Card("Requests", count(drift.requests), f"{count(failed)} failed")
    yield Card("Predictions", count(drift.predictions), days_text(len(drift.days)))
    if not drift.is_own_reference:
        yield Card("Stability index", psi_text(drift.total.psi), "of predicted classes")
        yield Card("Chance alone", p_value_text(drift.total.p_value), "p-value, G-test")
    if drift.confidence is not None and not drift.is_own_reference:
        text = p_value_text(drift.confidence.p_value)
        yield Card("Confidence", psi_text(drift.confidence.psi), f"index, p {text}")
    if drift.novelty is not None:
        share = percent(drift.novelty.novel / drift.novelty.images)
        yield Card("Novel images", share, f"{percent(1 - NOVEL)} expected")


def _day_charts(drift: Drift) -> Iterator[Chart]:
    moments = [datetime.combine(day.collected.day, time(), UTC) for day in drift.days]
    shown = [shift for shift in drift.classes if shift.found or shift.reference][:_MOST_LINES]
    yield time_chart(
        "Predicted classes by day",
        "Part of predictions",
        moments,
        [_class_series(drift, shift, style) for shift, style in zip(shown, styles(), strict=False)],
        note="Numbers: the part in the reference.",
        is_percent=True,
    )
    psi = tuple(day.comparison.psi if day.collected.predictions else math.nan for day in drift.days)
    yield time_chart(
        "Stability index by day",
        "Population stability index",
        moments,
        [Series("each day against the reference", psi, f"{psi[-1]:.3f}", "1")],
        note=f"Above {LITTLE_PSI} something has changed, above {MUCH_PSI} much, where a day has "
        "enough predictions. Number: of the last day.",
    )
    requests = tuple(float(day.collected.requests) for day in drift.days)
    failed = tuple(float(day.collected.failed) for day in drift.days)
    yield time_chart(
        "Requests by day",
        "Requests",
        moments,
        [
            Series("all", requests, count(sum(requests)), "0"),
            Series("failed", failed, count(sum(failed)), "1"),
        ],
        note="Numbers: of all days.",
        is_whole=max(requests) < 10,
    )


def _class_series(drift: Drift, shift: ClassShift, style: str) -> Series:
    values = tuple(
        day.collected.classes[shift.name] / day.collected.predictions
        if day.collected.predictions
        else math.nan
        for day in drift.days
    )
    texts = tuple(percent(value) if value == value else "" for value in values)  # noqa: PLR0124
    return Series(shift.name, values, percent(shift.reference_share), style, texts, is_ours=False)


def _sure_charts(drift: Drift) -> Iterator[Chart]:
    if drift.confidence is not None:
        yield _histogram(
            "Confidence",
            ("Probability of the predicted class", "Part of predictions"),
            [("in use", drift.confidence_counts), ("reference", drift.reference.confidence)],
            note="Less confidence than for validation images is an early sign of drift, where the "
            "true classes are not known yet.",
        )
    if drift.novelty is not None:
        even = (1,) * len(drift.novelty.counts)
        yield _histogram(
            "Novelty of images",
            ("Part of validation images that are less novel", "Part of images"),
            [("in use", drift.novelty.counts), ("reference", even)],
            note=f"Of the newest {count(drift.novelty.images)} images that were kept. "
            f"{count(drift.novelty.novel)} of them are more novel than "
            f"{percent(NOVEL)} of the validation images "
            f"(p {p_value_text(drift.novelty.p_value)}).",
        )


def _histogram(
    title: str,
    labels: tuple[str, str],
    both: Sequence[tuple[str, Sequence[int]]],
    *,
    note: str,
) -> Chart:
    shares = [(name, [n / max(sum(counts), 1) for n in counts]) for name, counts in both]
    y = Axis.around([part for _, parts in shares for part in parts], low=0.0, is_percent=True)
    frame = Frame(Axis.around([0, 1], low=0.0, high=1.0), y, width=420.0, height=220.0)
    lines = [
        Line(name, "", style, (frame.points(_steps(parts)),), _middles(frame, parts), is_ours=True)
        for (name, parts), style in zip(shares, ("0", "5"), strict=True)
    ]
    return Chart(title, *labels, note, frame, tuple(lines))


def _steps(parts: Sequence[float]) -> list[tuple[float, float]]:
    edges = [index / len(parts) for index in range(len(parts) + 1)]
    corners = [
        place
        for index, part in enumerate(parts)
        for place in ((edges[index], part), (edges[index + 1], part))
    ]
    return [(0.0, 0.0), *corners, (1.0, 0.0)]


def _middles(frame: Frame, parts: Sequence[float]) -> tuple[Dot, ...]:
    return tuple(
        Dot(
            frame.x_of((index + 0.5) / len(parts)),
            frame.y_of(part),
            f"{index / len(parts):.2f} to {(index + 1) / len(parts):.2f}: {percent(part)}",
        )
        for index, part in enumerate(parts)
        if part
    )
