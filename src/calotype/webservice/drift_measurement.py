"""Measures drift: what a service collected against the validation predictions of its model."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from calotype import errors
from calotype.models.validation_predictions import ValidationPredictions
from calotype.webservice.collected import (
    CollectedDay,
    collected_of,
    confidence_of,
    image_copies,
    read_days,
)
from calotype.webservice.drift import ClassShift, DayDrift, Drift
from calotype.webservice.drift_novelty import Novelty, novelty_of
from calotype.webservice.drift_statistics import compare, holm, share_p_value

if TYPE_CHECKING:
    from calotype.models.image_model import ImageModel
    from calotype.workspace.services import Service
    from calotype.workspace.workspace import Workspace

RECENT_DAYS: Final = 7
NOVELTY_IMAGES: Final = 200


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
    novelty = novelty_of(image_model, copies) if image_model and copies else None
    if known is not None:
        text = f"{known.images:,} validation images"
        return drift_of(name, model, known, text, collected, novelty=novelty)
    first, *rest = [day for day in collected if day.predictions]
    reference = ValidationPredictions(first.classes, confidence_of([first]))
    text = f"the first day, {first.day}"
    found = drift_of(name, model, reference, text, rest or [first], novelty=novelty)
    return dataclasses.replace(found, is_own_reference=not rest)


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


def _image_model(workspace: Workspace, reference: str) -> ImageModel | None:
    from calotype.models.image_model import ImageModel

    try:
        return ImageModel.load(workspace.models.path_of(workspace.models.find(reference)))
    except (errors.NotFound, errors.ModelError):
        return None


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
