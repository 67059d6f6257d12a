"""Drift: how a service in use predicts, against what its model predicted for validation images."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Literal

from calotype.models.validation_predictions import ValidationPredictions
from calotype.webservice.collected import CollectedDay
from calotype.webservice.drift_novelty import Novelty
from calotype.webservice.drift_statistics import Comparison

LEVEL: Final = 0.01  # of significance: one service in a hundred is suspected for nothing
LITTLE_PSI: Final = 0.1
MUCH_PSI: Final = 0.25
FEWEST: Final = 50  # predictions that say anything

Judgement = Literal["drift", "slight", "none", "too few", "no reference"]


@dataclass(frozen=True, slots=True)
class ClassShift:
    """How often one class was predicted, in the reference and in use.

    Attributes:
        p_value: that this is chance, after Holm over all classes.
    """

    name: str
    reference: int
    found: int
    reference_share: float
    share: float
    p_value: float

    @property
    def is_certain(self) -> bool:
        """Whether it is hardly chance."""
        return self.p_value < LEVEL

    @property
    def change(self) -> float:
        """By how much of all predictions it grew."""
        return self.share - self.reference_share


@dataclass(frozen=True, slots=True)
class DayDrift:
    """One day against the reference."""

    collected: CollectedDay
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Drift:
    """What was found.

    Attributes:
        reference_is: where the reference comes from, for people.
        recent: of the last days alone; None when there are no others.
        classes: of the model or the data, those that changed most first.
        confidence: in use against validation; None when one of them is unknown.
        is_own_reference: there is nothing to compare with yet but the only day itself.
    """

    service: str
    model: str
    reference: ValidationPredictions
    reference_is: str
    days: tuple[DayDrift, ...]
    total: Comparison
    recent: Comparison | None
    classes: tuple[ClassShift, ...]
    confidence: Comparison | None
    confidence_counts: tuple[int, ...]
    novelty: Novelty | None
    is_own_reference: bool = False

    @property
    def requests(self) -> int:
        """How many were collected."""
        return sum(day.collected.requests for day in self.days)

    @property
    def predictions(self) -> int:
        """How many classes were predicted."""
        return sum(day.collected.predictions for day in self.days)

    @property
    def judgement(self) -> Judgement:
        """What to think of it: certain and large, certain but small, or nothing to be seen."""
        if self.is_own_reference:
            return "no reference"
        if self.predictions < FEWEST or self.total.p_value is None:
            return "too few"
        certain = [one.psi for one in (self.total, self.recent) if one and _is_certain(one)]
        if not certain:
            return "none"
        return "drift" if max(certain) >= LITTLE_PSI else "slight"

    @property
    def largest_psi(self) -> float:
        """The stability index of all days, or of the last ones when that is larger."""
        return max(self.total.psi, self.recent.psi if self.recent else 0.0)

    @property
    def grown(self) -> list[ClassShift]:
        """Classes that certainly grew, the most first."""
        return [shift for shift in self.classes if shift.is_certain and shift.change > 0]

    @property
    def shrunk(self) -> list[ClassShift]:
        """Classes that certainly shrank, the most first."""
        return [shift for shift in self.classes if shift.is_certain and shift.change < 0]

    @property
    def document(self) -> dict[str, Any]:
        """The result as JSON shows it."""
        return {
            "service": self.service,
            "model": self.model,
            "judgement": self.judgement,
            "reference": {"source": self.reference_is, "images": self.reference.images},
            "requests": self.requests,
            "predictions": self.predictions,
            "psi": None if self.is_own_reference else self.total.psi,
            "p_value": None if self.is_own_reference else self.total.p_value,
            "recent": dataclasses.asdict(self.recent) if self.recent else None,
            "classes": [dataclasses.asdict(shift) for shift in self.classes],
            "days": [
                {
                    "day": day.collected.day.isoformat(),
                    "requests": day.collected.requests,
                    "failed": day.collected.failed,
                    "predictions": day.collected.predictions,
                    "psi": day.comparison.psi,
                    "p_value": day.comparison.p_value,
                }
                for day in self.days
            ],
            "confidence": dataclasses.asdict(self.confidence) if self.confidence else None,
            "novelty": dataclasses.asdict(self.novelty) if self.novelty else None,
        }


def _is_certain(comparison: Comparison) -> bool:
    return comparison.p_value is not None and comparison.p_value < LEVEL
