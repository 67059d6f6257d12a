"""Drift: whether a service in use predicts what its model predicted for validation images."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from calotype import errors
from calotype.hosting.layout import Layout
from calotype.hosting.plan_making import NO_MODEL
from calotype.models.validation_predictions import ValidationPredictions
from calotype.webservice.collected import (
    CollectedDay,
    confidence_of,
    image_copies,
    models_of,
    read_days,
)
from calotype.webservice.drift_statistics import Comparison, compare, holm, share_p_value
from calotype.workspace.machine import require_here

if TYPE_CHECKING:
    from calotype.models.image_model import ImageModel
    from calotype.workspace.services import Service
    from calotype.workspace.workspace import Workspace

LEVEL: Final = 0.01  # of significance: one service in a hundred is suspected for nothing
LITTLE_PSI: Final = 0.1
MUCH_PSI: Final = 0.25
RECENT_DAYS: Final = 7
FEWEST: Final = 50  # predictions that say anything
NOVEL: Final = 0.95  # as novel as one validation image in twenty
NOVELTY_IMAGES: Final = 200

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
class Novelty:
    """How unlike the validation images the newest collected images are.

    Attributes:
        counts: images by novelty from 0 to 1, in ten bins; validation images fill them evenly.
        novel: those with more than `NOVEL`; one in twenty is what validation images have.
    """

    images: int
    counts: tuple[int, ...]
    novel: int
    p_value: float


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


def measure(
    workspace: Workspace,
    name: str,
    *,
    days: int = 30,
    model: str = "",
    novelty_images: int = NOVELTY_IMAGES,
) -> Drift:
    """Compare what a service collected with the validation predictions of its model.

    A model that knows none is compared with the first day of which something was collected.

    Args:
        workspace: where the service is.
        name: of the service.
        days: how many, today included.
        model: `name:version`; what the service serves when left out.
        novelty_images: how many of the newest image copies to look at; 0 for none.

    Raises:
        NotFound: there is no such service, or nothing was collected.
    """
    service = workspace.services.get(name)
    model, own = collected_of(workspace, name, model)
    collected = read_days(own, days=days)
    if not any(day.predictions for day in collected):
        raise _nothing(service, model, has_requests=bool(collected))
    image_model = _image_model(workspace, model)
    known = ValidationPredictions.of_description(image_model.description) if image_model else None
    copies = image_copies(own, most=novelty_images)
    novelty = _novelty(image_model, copies) if image_model and copies else None
    if known is not None:
        text = f"{known.images:,} validation images"
        return drift_of(name, model, known, text, collected, novelty=novelty)
    first, *rest = [day for day in collected if day.predictions]
    reference = ValidationPredictions(first.classes, confidence_of([first]))
    text = f"the first day, {first.day}"
    found = drift_of(name, model, reference, text, rest or [first], novelty=novelty)
    return dataclasses.replace(found, is_own_reference=not rest)


def collected_of(workspace: Workspace, name: str, model: str = "") -> tuple[str, Path]:
    """Return a model of a service, and where what was collected for it lies.

    Args:
        workspace: where the service is.
        name: of the service.
        model: `name:version`; what the service serves when left out.
    """
    service = workspace.services.get(name)
    require_here(workspace.place, service.host, what=f"service '{name}'")
    folder = Layout.of(workspace.place).collected(name)
    model = model or _served(service, models_of(folder))
    model_name, _, version = model.partition(":")
    if "/" in model or not version.isdecimal():
        raise errors.UnparsableValue(
            "expected a model as NAME:VERSION",
            where=f"service '{name}'",
            got=model,
            action=f"Collected are: {', '.join(models_of(folder)) or 'none'}.",
        )
    return model, folder / model_name / version


def drift_of(
    service: str,
    model: str,
    reference: ValidationPredictions,
    reference_is: str,
    days: Sequence[CollectedDay],
    *,
    novelty: Novelty | None = None,
) -> Drift:
    """Compare days with a reference."""
    total: Counter[str] = Counter()
    for day in days:
        total.update(day.classes)
    recent: Counter[str] = Counter()
    for day in days[-RECENT_DAYS:]:
        recent.update(day.classes)
    names = [*reference.classes, *sorted(set(total) - set(reference.classes))]
    expected = [reference.classes.get(name, 0) for name in names]
    confidence = confidence_of(days)
    has_both = bool(confidence) and any(reference.confidence)
    return Drift(
        service,
        model,
        reference,
        reference_is,
        tuple(DayDrift(day, compare(expected, [day.classes[n] for n in names])) for day in days),
        compare(expected, [total[name] for name in names]),
        compare(expected, [recent[name] for name in names]) if len(days) > RECENT_DAYS else None,
        _shifts(names, reference, total),
        compare(reference.confidence, confidence) if has_both else None,
        confidence,
        novelty,
    )


def _is_certain(comparison: Comparison) -> bool:
    return comparison.p_value is not None and comparison.p_value < LEVEL


def _shifts(
    names: Sequence[str], reference: ValidationPredictions, total: Counter[str]
) -> tuple[ClassShift, ...]:
    known, found = max(reference.images, 1), max(total.total(), 1)
    pairs = [(reference.classes.get(name, 0), total[name]) for name in names]
    p_values = holm([share_p_value(a, known, b, found) for a, b in pairs])
    shifts = [
        ClassShift(name, a, b, a / known, b / found, p_value)
        for name, (a, b), p_value in zip(names, pairs, p_values, strict=True)
    ]
    return tuple(sorted(shifts, key=lambda shift: -abs(shift.change)))


def _served(service: Service, collected: Sequence[str]) -> str:
    """Return the model of a service's default version; else one of which there is something."""
    version = next((one for one in service.versions if one.is_default), None)
    models = version.wanted.models if version is not None else ()
    served = models[0] if models else NO_MODEL
    return served if served in collected or not collected else collected[-1]


def _image_model(workspace: Workspace, reference: str) -> ImageModel | None:
    from calotype.models.image_model import ImageModel

    try:
        return ImageModel.load(workspace.models.path_of(workspace.models.find(reference)))
    except (errors.NotFound, errors.ModelError):
        return None


def _novelty(model: ImageModel, copies: Sequence[Path]) -> Novelty | None:
    """Measure it afterwards, where no caller waits: a service that scores does not."""
    import numpy as np

    from calotype.models.image_model import NOVELTY
    from calotype.scoring.scorer import Scorer

    if not model.has(NOVELTY):
        return None
    scorer = Scorer(model, novelty=True)
    values: list[float] = []
    for path in copies:
        try:
            scores = scorer.predict([path])
        except errors.CalotypeError:
            continue  # what could not be scored then cannot be now
        if scores.novelty is not None:
            values += scores.novelty.tolist()
    counts, _ = np.histogram(values, bins=10, range=(0, 1))
    novel = sum(value > NOVEL for value in values)
    known = 1000  # what the share of validation images is known from, at most
    p_value = share_p_value(round(known * (1 - NOVEL)), known, novel, max(len(values), 1))
    return Novelty(len(values), tuple(counts.tolist()), novel, p_value) if values else None


def _nothing(service: Service, model: str, *, has_requests: bool) -> errors.NotFound:
    version = next((one for one in service.versions if one.is_default), None)
    is_on = version is not None and version.wanted.runtime.collect_model_data
    got = "predictions without a class" if has_requests else "none"
    action = "Call the service; what it collects is written within a second."
    if has_requests:
        action = "Let the script return class names, or items with 'label'."
    elif not is_on:
        got = "a service that does not collect"
        action = f"Run: calotype service update -n {service.name} --collect-model-data"
    return errors.NotFound(
        "expected collected predictions",
        where=f"service '{service.name}', model {model}",
        got=got,
        action=action,
    )
