"""What a service has collected: its tables of predictions, read day by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calotype import errors
from calotype.hosting.layout import Layout
from calotype.hosting.plan_making import NO_MODEL
from calotype.models.validation_predictions import confidence_counts
from calotype.serving.collection import IMAGES, PREDICTIONS
from calotype.serving.daily_tables import rows_of
from calotype.workspace.machine import require_here

if TYPE_CHECKING:
    from calotype.workspace.services import Service
    from calotype.workspace.workspace import Workspace


@dataclass(slots=True)
class CollectedDay:
    """The predictions of one day, as dates go in UTC.

    Attributes:
        requests: how many there were.
        failed: those of them with a status of 500 or more.
        classes: predictions by class; empty for a service that predicts none.
        confidences: the probability of each predicted class, where it was said.
    """

    day: date
    requests: int = 0
    failed: int = 0
    classes: Counter[str] = field(default_factory=Counter[str])
    confidences: list[float] = field(default_factory=list[float])

    @property
    def predictions(self) -> int:
        """How many classes were predicted."""
        return self.classes.total()


def read_days(folder: Path, *, days: int, today: date | None = None) -> list[CollectedDay]:
    """Return the days of which something was collected, in their order.

    Args:
        folder: of one version of a model.
        days: how many, today included.
        today: the last one; by the clock when left out.
    """
    last = today or datetime.now(UTC).date()
    found: list[CollectedDay] = []
    for back in range(days - 1, -1, -1):
        day = last - timedelta(days=back)
        tables = sorted((folder / PREDICTIONS / day.strftime("%Y/%m/%d")).glob("*.csv"))
        if tables:
            found.append(_day(day, tables))
    return found


def models_of(folder: Path) -> list[str]:
    """Return `name:version` of the models of which something was collected for a service."""
    return [
        f"{version.parent.name}:{version.name}"
        for version in sorted(folder.glob("*/*"))
        if (version / PREDICTIONS).is_dir()
    ]


def image_copies(folder: Path, *, most: int) -> list[Path]:
    """Return the newest copies of images."""
    paths = [path for path in (folder / IMAGES).glob("*/*") if not path.name.startswith(".")]
    return sorted(paths, key=lambda path: path.stat().st_mtime)[-most:] if most else []


def confidence_of(days: Iterable[CollectedDay]) -> tuple[int, ...]:
    """Return how often the model was how sure, in the bins of its validation predictions."""
    values = [value for day in days for value in day.confidences]
    return confidence_counts(np.array(values, np.float64)) if values else ()


def _day(day: date, tables: Iterable[Path]) -> CollectedDay:
    found = CollectedDay(day)
    for table in tables:
        try:
            for row in rows_of(table):
                _add(row, found)
        except (UnicodeDecodeError, KeyError) as error:
            raise errors.UnparsableFile(
                "expected a table of predictions", where=str(table), got=str(error)
            ) from error
    return found


def _add(row: dict[str, str], day: CollectedDay) -> None:
    if row["row"] == "0":
        day.requests += 1
        day.failed += row["status"].startswith("5")  # as `service metrics` counts
    if row["label"]:
        day.classes[row["label"]] += 1
        if row["probability"]:
            day.confidences.append(float(row["probability"]))


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


def _served(service: Service, collected: Sequence[str]) -> str:
    """Return the model of a service's default version; else one of which there is something."""
    version = next((one for one in service.versions if one.is_default), None)
    models = version.wanted.models if version is not None else ()
    served = models[0] if models else NO_MODEL
    return served if served in collected or not collected else collected[-1]
