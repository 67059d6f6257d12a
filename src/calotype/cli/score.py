"""`calotype score`: Score Image Model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from calotype.cli.completion import complete_models
from calotype.cli.image_model_options import Precision, image_model_options
from calotype.cli.references import model_path, source_path
from calotype.cli.terminal import Terminal, command, examples, facts, table
from calotype.cli.workspace_option import workspace_option

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.scoring.score import ScoreResult

_SHOWN = 10


@command(
    epilog=examples(
        "calotype score --model MODEL --images photos/ --out scored",
        "calotype score --model imagenet --images cat.jpg --out scored",
        "calotype score --model MODEL --images big.tar --out scored --resume",
        "calotype score --model flowers:2 --images dataset:flowers-test --out scored",
    )
)
@click.option(
    "--model",
    required=True,
    shell_complete=complete_models,
    help="A model folder, a .calotype or .onnx file of one, NAME[:VERSION] of the workspace, or "
    "'imagenet': 1,000 everyday things.",
)
@click.option(
    "--images",
    required=True,
    type=click.Path(path_type=Path),
    help="An image directory, a folder, an archive, one image, or [dataset:]NAME[:VERSION] of the "
    "workspace.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The scored dataset to write."
)
@click.option(
    "--schema-check",
    type=click.Choice(["strict", "warn", "off"]),
    default="warn",
    show_default=True,
    help="What to do when the images' categories are not the model's classes.",
)
@image_model_options
@click.option(
    "--on-error",
    type=click.Choice(["skip", "fail"]),
    default="skip",
    show_default=True,
    help="skip lists unreadable images in errors.parquet; fail stops at the first.",
)
@click.option(
    "--novelty",
    is_flag=True,
    help="Add the column Novelty, 0-1: how unlike the model's validation images an image is.",
)
@click.option("--resume", is_flag=True, help="Go on where an interrupted run stopped.")
@click.option(
    "--format",
    "table_format",
    type=click.Choice(["parquet", "csv"]),
    default="parquet",
    show_default=True,
    help="Of the scored table.",
)
@click.option(
    "--engine",
    type=click.Choice(["local"]),
    default="local",
    show_default=True,
    help="Where the work is done.",
)
@workspace_option
def score(
    terminal: Terminal,
    model: str,
    images: Path,
    out: Path,
    schema_check: Literal["strict", "warn", "off"],
    precision: Precision,
    on_error: Literal["skip", "fail"],
    exact_decode: bool,
    calibration: bool,
    novelty: bool,
    threads: int | None,
    resume: bool,
    table_format: Literal["parquet", "csv"],
    engine: str,
) -> None:
    """Score images: the probability of each class and the most probable one, a row per image."""
    from calotype.scoring.score import score as run_score
    from calotype.scoring.scorer import Scorer

    source = source_path(images, terminal)
    scorer = Scorer(
        model_path(model),
        precision,
        threads,
        exact_decode=exact_decode,
        calibrated=calibration,
        novelty=novelty,
        progress=terminal.progress,
    )
    result = run_score(
        scorer,
        source,
        out,
        schema_check=schema_check,
        on_error=on_error,
        format=table_format,
        resume=resume,
        progress=terminal.progress,
    )
    if result.was_complete:
        terminal.progress.say(f"{out} already holds this very run, complete: nothing to do.")
    terminal.show(_document(result), lambda console: _render(console, result))


def _document(result: ScoreResult) -> dict[str, Any]:
    run = {key: value for key, value in result.run.items() if key not in ("identity", "parts")}
    return {"path": str(result.path), "was_complete": result.was_complete, **run}


def _render(console: Console, result: ScoreResult) -> None:
    run = result.run
    counts = run["counts"]
    runtime = f"{run['runtime']['name']} {run['precision']}, {run['runtime']['threads']} threads"
    rows: list[tuple[str, object]] = [
        ("scored dataset", result.path),
        ("images", f"{counts['scored']:,} scored, {counts['errors']:,} not readable"),
        ("rate", f"{run['images_per_s']:,.0f} images/s ({runtime})"),
    ]
    facts(console, rows)
    if counts["scored"] <= _SHOWN:
        table(console, ["image", "label", "probability"], _predictions(result))
    else:
        table(console, ["label", "images"], _labels(result))
    if counts["errors"]:
        table(console, ["not readable", "error", "why"], _failures(result))


def _predictions(result: ScoreResult) -> list[tuple[object, ...]]:
    from calotype.scored_dataset import PATH, SCORED_LABELS, ScoredDataset, probability_column

    rows: list[tuple[object, ...]] = []
    for batch in ScoredDataset.load(result.path).batches():
        for row in batch.to_pylist():
            label = row[SCORED_LABELS]
            rows.append((row[PATH], label, float(row[probability_column(label)])))
    return rows


def _labels(result: ScoreResult) -> list[tuple[object, ...]]:
    from calotype.scored_dataset import SCORED_LABELS, ScoredDataset

    counted: Counter[str] = Counter()
    for batch in ScoredDataset.load(result.path).batches([SCORED_LABELS]):
        counted.update(batch.column(0).to_pylist())
    rows: list[tuple[object, ...]] = list(counted.most_common(_SHOWN))
    rest = counted.total() - sum(count for _, count in counted.most_common(_SHOWN))
    return [*rows, (f"{len(counted) - _SHOWN} more labels", rest)] if rest else rows


def _failures(result: ScoreResult) -> list[tuple[object, ...]]:
    from calotype.scored_dataset import ScoredDataset

    rows = ScoredDataset.load(result.path).errors().slice(0, _SHOWN).to_pylist()
    return [
        (row["path"], f"{row['error_number']:04d}", row["message"].partition(": ")[2])
        for row in rows
    ]
