"""What a run's rows of metrics look like as charts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from calotype.pages.charts import Axis, Chart, Dot, Frame, Line, unbroken
from calotype.pages.wording import NOTHING, percent

Row: TypeAlias = Mapping[str, float]
"""The metrics of one epoch, by the names of `EpochMetrics`."""

_MOST_DOTS = 40  # epochs; more are told apart by no eye
_LEARN, _CHECK = "0", "1"  # the colours of the training and of the validation images


@dataclass(frozen=True, slots=True)
class _Curve:
    """One value of every epoch."""

    name: str
    style: str
    values: tuple[float, ...]


def charts(rows: Sequence[Row], *, kept: Row | None, epochs: int | None) -> list[Chart]:
    """Return the charts of loss, accuracy, learning rate and images/s; none before epoch 1.

    Args:
        rows: the metrics of each epoch.
        kept: the row that the numbers of the legends are of; otherwise the last one.
        epochs: how many there will be in the end, to leave room for them.
    """
    if not rows:
        return []
    drawing = _Drawing(rows, kept=kept, epochs=epochs)
    loss = [
        _curve("training images", _LEARN, rows, "train_loss"),
        _curve("validation images", _CHECK, rows, "validation_loss"),
    ]
    right = tuple(1 - row["train_error"] for row in rows)
    accuracy = [
        _curve("validation images, top-1", _CHECK, rows, "top_1_accuracy"),
        _curve("validation images, top-5", "4", rows, "top_5_accuracy"),
        _Curve("training images (1 – train error)", _LEARN, right),
    ]
    rate = [_curve("at the end of the epoch", "2", rows, "learning_rate")]
    speed = [_curve("training images", "3", rows, "train_images_per_s")]
    return [
        drawing.chart("Loss", "Loss", loss, low=0.0),
        drawing.chart("Accuracy", "Part that is right", accuracy, high=1.0, is_percent=True),
        drawing.chart("Learning rate", "Learning rate", rate, low=0.0),
        drawing.chart("Speed", "Images per second", speed, low=0.0),
    ]


def _curve(name: str, style: str, rows: Sequence[Row], key: str) -> _Curve:
    return _Curve(name, style, tuple(row[key] for row in rows))


class _Drawing:
    """Draws curves over the epochs of one run."""

    def __init__(self, rows: Sequence[Row], *, kept: Row | None, epochs: int | None) -> None:
        self._epochs = [row["epoch"] for row in rows]
        last = max(self._epochs[-1], epochs or 0)
        self._axis = Axis.around([], low=0.5, high=last + 0.5, is_whole=True)
        self._kept = None if kept is None else kept["epoch"]
        self._told = self._epochs.index(self._kept) if self._kept is not None else -1

    def chart(
        self,
        title: str,
        y_label: str,
        shown: Sequence[_Curve],
        *,
        low: float | None = None,
        high: float | None = None,
        is_percent: bool = False,
    ) -> Chart:
        values = [value for curve in shown for value in curve.values]
        scale = Axis.around(values, low=low, high=high, is_percent=is_percent)
        frame = Frame(self._axis, scale, width=430.0, height=230.0, left=66.0)
        return Chart(
            title=title,
            x_label="Epoch",
            y_label=y_label,
            note="",
            frame=frame,
            lines=tuple(self._line(curve, frame, is_percent=is_percent) for curve in shown),
            mark=self._kept,
        )

    def _line(self, curve: _Curve, frame: Frame, *, is_percent: bool) -> Line:
        places = list(zip(self._epochs, curve.values, strict=True))
        pieces = unbroken(places)
        dots = [place for piece in pieces for place in piece] if len(places) <= _MOST_DOTS else []
        return Line(
            name=curve.name,
            number=_said(curve.values[self._told], is_percent=is_percent),
            style=curve.style,
            pieces=tuple(frame.points(piece) for piece in pieces),
            dots=tuple(
                Dot(
                    frame.x_of(epoch),
                    frame.y_of(value),
                    f"epoch {epoch:.0f}, {curve.name}: {_said(value, is_percent=is_percent)}",
                )
                for epoch, value in dots
            ),
        )


def _said(value: float, *, is_percent: bool) -> str:
    if not math.isfinite(value):
        return NOTHING
    return percent(value) if is_percent else f"{value:.4g}"
