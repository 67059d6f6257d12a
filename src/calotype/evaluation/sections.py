"""What the report shows of one scored dataset."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from calotype.evaluation.charts import Bar, ranking_charts, reliability_bars
from calotype.evaluation.confusion import MAX_DRAWN, Confusion
from calotype.evaluation.examples import Example, confident_mistakes, unsure_hits
from calotype.evaluation.ranking import CURVES
from calotype.evaluation.results import EvaluatedSet
from calotype.evaluation.thumbnails import Thumbnails, data_uri
from calotype.pages.charts import Chart

_UNKNOWN_SHOWN = 8  # names of unknown categories in the warning
_LONG = 30  # classes; a longer table scrolls, and shows the weakest classes first


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion matrix: its images, its part of the row, its colour class."""

    images: int
    share: float
    style: str


@dataclass(frozen=True)
class MatrixRow:
    """One row of the confusion matrix."""

    name: str
    cells: tuple[Cell, ...]
    total: int


@dataclass(frozen=True)
class Picture:
    """An image of a gallery; `uri` is None when it cannot be shown."""

    example: Example
    uri: str | None


@dataclass(frozen=True)
class Gallery:
    """Some images worth a look."""

    title: str
    note: str
    joint: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Section:
    """All that is shown of one scored dataset.

    Args:
        role: `Left` or `Right`.
        evaluated: its numbers.
        matrix: the rows of the confusion matrix; empty for many classes.
        confused: category, predicted class and images of the most frequent mistakes.
        per_class: the rows of the table of classes.
        bars: of the reliability diagram.
        charts: ROC and precision-recall.
        galleries: images worth a look.
    """

    role: str
    evaluated: EvaluatedSet
    matrix: tuple[MatrixRow, ...]
    confused: list[tuple[str, str, int]]
    per_class: list[dict[str, Any]]
    bars: list[Bar]
    charts: list[Chart]
    galleries: tuple[Gallery, ...]

    @classmethod
    def of(cls, evaluated: EvaluatedSet, *, role: str, thumbnails: Thumbnails | None) -> Section:
        """Gather what there is to show."""
        measured, confusion = evaluated.measurement, evaluated.confusion
        rows = evaluated.per_class
        if len(rows) > _LONG:
            rows.sort(key=lambda row: row["f1"])
        return cls(
            role=role,
            evaluated=evaluated,
            matrix=_matrix(confusion) if len(confusion.classes) <= MAX_DRAWN else (),
            confused=confusion.most_confused(),
            per_class=rows,
            bars=reliability_bars(measured.calibration),
            charts=ranking_charts(measured.ranking),
            galleries=_galleries(evaluated, thumbnails=thumbnails),
        )

    @property
    def name(self) -> str:
        """What the set is called."""
        return self.evaluated.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in index order."""
        return self.evaluated.classes

    @property
    def model(self) -> str:
        """The beginning of the model's digest, if the run says it."""
        model = self.evaluated.dataset.run.get("model")
        return str(model.get("digest", ""))[:12] if isinstance(model, dict) else ""

    @property
    def unknown(self) -> list[tuple[str, int]]:
        """The most frequent categories that the model does not know, with their images."""
        categories = self.evaluated.measurement.outcomes.unknown_categories()
        return list(categories.items())[:_UNKNOWN_SHOWN]

    @property
    def unknown_more(self) -> int:
        """How many further categories the model does not know."""
        return len(self.evaluated.measurement.outcomes.unknown_categories()) - len(self.unknown)

    @property
    def is_long(self) -> bool:
        """Whether the table of classes is longer than a screen."""
        return len(self.per_class) > _LONG

    @property
    def are_curves_cut(self) -> bool:
        """Whether there are more classes than curves."""
        return len(self.classes) > CURVES

    @property
    def positive(self) -> str | None:
        """Of two classes the one that the curves are about."""
        return self.classes[1] if len(self.classes) == 2 else None


def _matrix(confusion: Confusion) -> tuple[MatrixRow, ...]:
    return tuple(
        _matrix_row(name, confusion.row(index).tolist(), own=index)
        for index, name in enumerate(confusion.row_names)
    )


def _matrix_row(name: str, images: list[int], *, own: int) -> MatrixRow:
    total = sum(images)
    cells: list[Cell] = []
    for column, count in enumerate(images):
        share = count / total if total else 0.0
        kind = "hit own" if column == own else "miss"
        # Tenths, rounded up: one image among thousands is still told from none.
        cells.append(Cell(count, share, f"{kind} k{math.ceil(10 * share)}"))
    return MatrixRow(name, tuple(cells), total)


def _galleries(evaluated: EvaluatedSet, *, thumbnails: Thumbnails | None) -> tuple[Gallery, ...]:
    def pictures(examples: list[Example]) -> tuple[Picture, ...]:
        return tuple(Picture(example, _uri(example, thumbnails)) for example in examples)

    return (
        Gallery(
            "Surest mistakes",
            "Wrong, and with the highest probability: often mislabelled or ambiguous images.",
            "taken for",
            pictures(confident_mistakes(evaluated.measurement)),
        ),
        Gallery(
            "Least certain hits",
            "Right, and with the lowest probability: more images like these would help most.",
            "found as",
            pictures(unsure_hits(evaluated.measurement)),
        ),
    )


def _uri(example: Example, thumbnails: Thumbnails | None) -> str | None:
    content = thumbnails.read(example.id, example.path) if thumbnails is not None else None
    return data_uri(content) if content is not None else None
