"""How unlike the validation images of its model the images are that a service was sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype import errors
from calotype.webservice.drift_statistics import share_p_value

if TYPE_CHECKING:
    from calotype.models.image_model import ImageModel

NOVEL: Final = 0.95  # as novel as one validation image in twenty


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


def novelty_of(model: ImageModel, copies: Sequence[Path]) -> Novelty | None:
    """Measure it afterwards, where no caller waits: a service that scores does not.

    Args:
        model: of the service.
        copies: image files.

    Returns:
        None when the model cannot tell, or none of the images can be scored.
    """
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
