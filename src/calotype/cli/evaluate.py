"""`calotype evaluate`: measure scored images against their labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from calotype.cli.options import PATH
from calotype.cli.references import source_path
from calotype.cli.terminal import Terminal, command, examples, facts, table
from calotype.cli.workspace_option import workspace_option

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.evaluation import Evaluation


@command(
    name="evaluate",
    epilog=examples(
        "calotype evaluate scored --out report",
        "calotype evaluate scored-resnet18 scored-resnet50 --out comparison",
        "calotype -o json evaluate scored.csv --out report | jq .overall_accuracy",
    ),
)
@click.argument("scored", type=PATH)
@click.argument("scored2", required=False, type=PATH)
@click.option("--out", required=True, type=PATH, help="Folder for the report and the tables.")
@workspace_option
def evaluate(terminal: Terminal, *, scored: Path, scored2: Path | None, out: Path) -> None:
    """Measure scored images against their labels, or compare two sets of scores.

    SCORED is a folder that `calotype score` wrote, a Parquet or CSV file with the same columns, or
    [dataset:]NAME[:VERSION] of such a one in the workspace.
    SCORED2, if given, is compared with it: the differences are SCORED2 minus SCORED.

    Every number comes with a 95 % interval. DIR receives report.html for people, evaluation.json,
    metrics.parquet, confusion_matrix.csv and per_class.csv; an earlier evaluation is replaced.
    """
    from calotype.evaluation import evaluate as evaluate_scores

    first = source_path(scored, terminal)
    second = source_path(scored2, terminal) if scored2 is not None else None
    evaluation = evaluate_scores(first, second, out=out, progress=terminal.progress)
    terminal.show(evaluation.document, lambda console: _draw(console, evaluation))


def _draw(console: Console, evaluation: Evaluation) -> None:
    columns, rows = _metrics(evaluation)
    table(console, columns, rows)
    images = [(f"Images of {each.name}", _count(each.rows)) for each in evaluation.sets]
    facts(console, [*images, ("Report", evaluation.report)])


def _metrics(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the rows of the table of metrics."""
    from calotype.evaluation import wording
    from calotype.evaluation.metrics import METRICS, top_k
    from calotype.pages.wording import decimal

    k = top_k(len(evaluation.sets[0].classes))
    rows = [[metric.title.format(k=k)] for metric in METRICS.values()]
    if evaluation.comparison is None:
        for row, estimate in zip(rows, evaluation.sets[0].estimates.values(), strict=True):
            row += [decimal(estimate.value), wording.interval(estimate)]
        return ["Metric", "Value", "95 % interval"], rows
    for evaluated in evaluation.sets:
        for row, estimate in zip(rows, evaluated.estimates.values(), strict=True):
            row.append(wording.brief(estimate))
    for row, difference in zip(rows, evaluation.comparison.differences.values(), strict=True):
        row.append(wording.brief_difference(difference))
    return ["Metric", *(evaluated.name for evaluated in evaluation.sets), "Difference"], rows


def _count(rows: dict[str, int]) -> str:
    """Say how many images there are of each sort, leaving out the sorts there are none of."""
    counts = [f"{rows['labelled']:,} evaluated"]
    for sort, words in (
        ("unlabelled", "without a category"),
        ("unknown_category", "of a category that the model does not know"),
        ("errors", "could not be scored"),
    ):
        if rows[sort]:
            counts.append(f"{rows[sort]:,} {words}")
    return ", ".join(counts)
