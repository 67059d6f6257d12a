"""`training.html`: the curves of a run on one page, written anew after every epoch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from calotype.pages import page
from calotype.pages.wording import NOTHING, percent
from calotype.training import curves
from calotype.training.curves import Row

RELOAD_S = 10


@dataclass(frozen=True, slots=True)
class Card:
    """One of the numbers that come first, and what stands beside it."""

    title: str
    text: str
    beside: str = ""


def render(
    rows: Sequence[Row],
    facts: Sequence[tuple[str, str]],
    *,
    kept_epoch: int | None,
    is_running: bool,
    epochs: int | None = None,
    title: str = "Training",
) -> str:
    """Return the page as HTML; it loads nothing and runs nothing.

    Args:
        rows: the metrics of each epoch that is done, by the names of `EpochMetrics`.
        facts: what else is known of the run: name and value.
        kept_epoch: the number of the best epoch so far.
        is_running: there will be more; the page then loads itself again every few seconds.
        epochs: how many epochs were asked for.
        title: of the page.
    """
    kept = next((row for row in rows if row["epoch"] == kept_epoch), None)
    return page.render(
        "calotype.training",
        "training.html.j2",
        style="training.css.j2",
        filters=FILTERS,
        title=title,
        reload_s=RELOAD_S if is_running else None,
        state=_state(rows, kept, is_running=is_running, epochs=epochs),
        cards=_cards(rows, kept),
        charts=curves.charts(rows, kept=kept, epochs=epochs if is_running else None),
        rows=rows,
        kept_epoch=kept_epoch,
        facts=facts,
    )


def _state(rows: Sequence[Row], kept: Row | None, *, is_running: bool, epochs: int | None) -> str:
    done = int(rows[-1]["epoch"]) if rows else 0
    if is_running and (epochs is None or done < epochs):
        return f"running: epoch {done + 1}" + (f" of {epochs}" if epochs else "")
    if is_running:
        return f"running: all {done} epochs are done"
    if not rows:
        return "Ended before the first epoch was done."
    if kept is None:
        return f"Ended after epoch {done}; none is kept."
    found = f"Kept: epoch {kept['epoch']:.0f} of {done}"
    right = kept["top_1_accuracy"]
    if not math.isfinite(right):
        return found + "."
    return f"{found}, which gets {percent(right)} of the validation images right."


def _cards(rows: Sequence[Row], kept: Row | None) -> list[Card]:
    if not rows:
        return []
    shown = kept or rows[-1]
    rates = [row["train_images_per_s"] for row in rows if math.isfinite(row["train_images_per_s"])]
    return [
        Card("Accuracy", share(shown["top_1_accuracy"]), "top-1"),
        Card("Top-5 accuracy", share(shown["top_5_accuracy"])),
        Card("Validation loss", number(shown["validation_loss"])),
        Card("Images/s", f"{statistics.median(rates):,.0f}" if rates else NOTHING, "training"),
        Card("Time", duration(sum(row["elapsed_s"] for row in rows)), "of the epochs"),
    ]


def number(value: float) -> str:
    """Return a number with four digits that count, a dash for none, a sign for an endless one."""
    if math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.4f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:.4g}"


def rate(value: float) -> str:
    """Return a learning rate with the digits that it has, or a dash."""
    return f"{value:.4g}" if math.isfinite(value) else NOTHING


def per_second(value: float) -> str:
    """Return how many images were done in a second, or a dash."""
    return f"{value:,.1f}" if math.isfinite(value) else NOTHING


def share(value: float) -> str:
    """Return a part of one as a percentage, or a dash."""
    return f"{100 * value:.2f} %" if math.isfinite(value) else NOTHING


def duration(seconds: float) -> str:
    """Return a time in the two units that matter.

    >>> duration(3.26), duration(75), duration(7322)
    ('3.3 s', '1 min 15 s', '2 h 2 min')
    """
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


FILTERS = {
    "number": number,
    "rate": rate,
    "per_second": per_second,
    "share": share,
    "duration": duration,
}
