"""The report for people: one HTML file that needs nothing else, not even a script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from calotype.evaluation import charts, wording
from calotype.evaluation.charts import Whisker, whisker
from calotype.evaluation.intervals import Estimate
from calotype.evaluation.metrics import METRICS, top_k
from calotype.evaluation.results import EvaluatedSet, Evaluation
from calotype.evaluation.sections import Section
from calotype.evaluation.thumbnails import Thumbnails
from calotype.pages import page
from calotype.pages.wording import count, percent

_ESTIMATE_CARDS = {
    "Accuracy": "overall_accuracy",
    "Macro F1": "macro_f1",
    "Calibration error": "ece",
}
_COUNT_CARDS = {
    "Images evaluated": "labelled",
    "Without a category": "unlabelled",
    "Could not be scored": "errors",
}


@dataclass(frozen=True)
class Figure:
    """A number of a card with what stands beside it."""

    text: str
    beside: str = ""


@dataclass(frozen=True)
class Card:
    """One of the numbers that come first; of each set when there are two."""

    title: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class MetricRow:
    """One row of the table of metrics.

    Args:
        title: name of the metric.
        meaning: what it says.
        estimates: of each set.
        difference: right minus left, when there are two.
        judgement: `better`, `worse` or nothing.
        whisker: the interval as a drawing: of the difference when there are two.
    """

    title: str
    meaning: str
    estimates: tuple[Estimate, ...]
    difference: Estimate | None
    judgement: str
    whisker: Whisker | None


def render(evaluation: Evaluation, *, thumbnails: Thumbnails | None) -> str:
    """Return the report as HTML.

    Args:
        evaluation: what was found.
        thumbnails: where pictures come from; None lists paths instead.
    """
    sections = [
        Section.of(evaluated, role=role, thumbnails=thumbnails)
        for evaluated, role in zip(evaluation.sets, ("Left", "Right"), strict=False)
    ]
    return page.render(
        "calotype.evaluation",
        "report.html.j2",
        style="report.css.j2",
        filters=wording.FILTERS,
        geometry=charts,
        title="Evaluation of " + " and ".join(section.name for section in sections),
        sections=sections,
        cards=_cards(evaluation.sets),
        metrics=_metric_rows(evaluation),
        findings=_findings(evaluation),
        has_pictures=thumbnails is not None,
        resamples=evaluation.resamples,
    )


def _cards(sets: Sequence[EvaluatedSet]) -> list[Card]:
    estimates = [
        Card(title, tuple(_figure(evaluated.estimates[name]) for evaluated in sets))
        for title, name in _ESTIMATE_CARDS.items()
    ]
    counts = [
        Card(title, tuple(Figure(count(evaluated.rows[name])) for evaluated in sets))
        for title, name in _COUNT_CARDS.items()
    ]
    return estimates + counts


def _figure(estimate: Estimate) -> Figure:
    return Figure(percent(estimate.value), wording.percent_interval(estimate))


def _metric_rows(evaluation: Evaluation) -> list[MetricRow]:
    differences = evaluation.comparison.differences if evaluation.comparison else {}
    k = top_k(len(evaluation.sets[0].classes))
    farthest = charts.farthest([differences[name] for name in differences if name != "log_loss"])
    rows: list[MetricRow] = []
    for name, metric in METRICS.items():
        estimates = tuple(evaluated.estimates[name] for evaluated in evaluation.sets)
        difference = differences.get(name)
        bounds = (-farthest, farthest) if difference else (0.0, 1.0)
        is_drawn = math.isfinite(metric.maximum)  # the others share no axis with the rest
        rows.append(
            MetricRow(
                title=metric.title.format(k=k),
                meaning=metric.meaning.format(k=k),
                estimates=estimates,
                difference=difference,
                judgement=wording.judge(difference, metric) if difference else "",
                whisker=whisker(difference or estimates[0], bounds=bounds) if is_drawn else None,
            )
        )
    return rows


def _findings(evaluation: Evaluation) -> list[str]:
    """Say what the comparison found, the sentence about accuracy first."""
    comparison = evaluation.comparison
    if comparison is None:
        return []
    names = [evaluated.name for evaluated in evaluation.sets]
    findings = [wording.verdict(comparison, names), wording.pairing(comparison.matching)]
    if comparison.mcnemar is not None:
        findings.append(wording.chance(comparison.mcnemar, names))
    return findings
