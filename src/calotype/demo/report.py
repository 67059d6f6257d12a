"""`report.html` of the demo: what was done, how well, and where everything is."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calotype.evaluation import wording
from calotype.evaluation.metrics import METRICS, top_k
from calotype.evaluation.sections import Section
from calotype.evaluation.thumbnails import data_uri
from calotype.pages import page
from calotype.pages.wording import percent

if TYPE_CHECKING:
    from calotype.demo.steps import DemoResult
    from calotype.evaluation.results import EvaluatedSet

_LINKS = {
    "report/report.html": "the whole evaluation, with all mistakes",
    "model/training.html": "the curves of the training",
    "model": "the model: model.json, weights, ONNX",
    "scored": "the scored dataset",
    "drift/drift.html": "whether the service's predictions drift",
    ".calotype": "the workspace with the registered model and the service",
}


@dataclass(frozen=True, slots=True)
class Cells:
    """Where the pictures of an evaluation come from: a folder of files."""

    folder: Path

    def read(self, image_id: int, path: str) -> bytes | None:
        """Return the content of one of its files."""
        file = self.folder / path
        return file.read_bytes() if file.is_file() else None


def render(result: DemoResult, *, published_accuracy: float) -> str:
    """Return the page as HTML; it loads nothing and runs nothing."""
    evaluation = result.evaluation
    assert evaluation is not None
    evaluated = evaluation.sets[0]
    accuracy = evaluated.estimates["overall_accuracy"]
    return page.render(
        "calotype.demo",
        "demo.html.j2",
        style="demo.css.j2",
        filters=wording.FILTERS,
        title="Calotype demo: solar cells",
        accuracy=accuracy,
        accuracy_interval=wording.percent_interval(accuracy),
        published=percent(published_accuracy),
        total_s=sum(step.elapsed_s for step in result.steps),
        steps=result.steps,
        metrics=_metrics(evaluated),
        section=Section.of(evaluated, role="", thumbnails=Cells(result.folder / "cells")),
        explanation=_png(result.folder / "explanation.png"),
        photographs=[
            (data_uri((result.folder / "photographs" / name).read_bytes()), name, label, share)
            for name, label, share in result.photographs
        ],
        served=result.served,
        is_serving=result.is_serving,
        links=[(path, text) for path, text in _LINKS.items() if (result.folder / path).exists()],
    )


def _metrics(evaluated: EvaluatedSet) -> Sequence[tuple[str, float, str]]:
    k = top_k(len(evaluated.classes))
    return [
        (METRICS[name].title.format(k=k), estimate.value, wording.interval(estimate))
        for name, estimate in evaluated.estimates.items()
        if name in METRICS
    ]


def _png(path: Path) -> str:
    if not path.is_file():
        return ""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
