"""What a run comes to, epoch by epoch and in the end, and who is told. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from calotype.progress import SILENCE, Progress

Stopped = Literal["epochs", "patience", "time", "interrupt"]


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """What one epoch has come to; accuracies and errors are shares, 0-1."""

    epoch: int
    learning_rate: float
    """At the end of the epoch."""
    train_loss: float
    train_error: float
    validation_loss: float
    top_1_accuracy: float
    top_5_accuracy: float
    train_images_per_s: float
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told what.

    Attributes:
        progress: about every batch and epoch, in words.
        on_epochs: the metrics of all epochs so far, as each ends.
    """

    progress: Progress = SILENCE
    on_epochs: Callable[[Sequence[EpochMetrics]], None] = lambda epochs: None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has come to; the network has the weights of the epoch that is kept.

    Attributes:
        epochs: the metrics of every epoch.
        kept: of the epoch that is kept.
        stopped: why the run ended.
        learning_rate: the highest rate.
    """

    epochs: list[EpochMetrics]
    kept: EpochMetrics
    stopped: Stopped
    learning_rate: float
