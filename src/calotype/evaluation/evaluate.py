"""Evaluate Model: measure one scored dataset, or two side by side, and write what was found."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from calotype import errors, files
from calotype.evaluation.arrays import Floats
from calotype.evaluation.comparison import Matching, compare, match
from calotype.evaluation.intervals import draw_weights, estimates, resample
from calotype.evaluation.metrics import Measurement, measure
from calotype.evaluation.novelty import read_novelty
from calotype.evaluation.originals import originals
from calotype.evaluation.outcomes import read_outcomes
from calotype.evaluation.output import check_free, write
from calotype.evaluation.results import EvaluatedSet, Evaluation
from calotype.evaluation.scores import read_scores
from calotype.evaluation.thumbnails import Thumbnails
from calotype.progress import SILENCE, Progress
from calotype.scored_dataset import ScoredDataset
from calotype.tables import listed


def evaluate(
    left: Path | str,
    right: Path | str | None = None,
    *,
    out: Path | str,
    seed: int = 0,
    resamples: int = 1000,
    thumbnails: Thumbnails | None = None,
    progress: Progress = SILENCE,
) -> Evaluation:
    """Measure scored images against their categories, and write report and tables.

    Args:
        left: a scored dataset, the baseline of a comparison.
        right: a second one of the same classes, to compare with it.
        out: the folder to write; an earlier evaluation there is replaced.
        seed: what the resamples of the intervals are drawn from, 0 or more.
        resamples: how many of them, 1 or more.
        thumbnails: where the pictures in the report come from; None takes them from where they
            were scored, and lists paths instead when they are not there any more.
        progress: told about every step.

    Raises:
        AlreadyExists: `out` holds something else than an evaluation.
        DatasetError: a scored dataset cannot be evaluated, or two cannot be compared.
        FileError: a file of theirs cannot be read.
        CannotWrite: `out` cannot be written.
    """
    out = Path(out)
    _check_parameters(seed=seed, resamples=resamples)
    check_free(out)
    datasets = [ScoredDataset.load(path) for path in (left, right) if path is not None]
    _check_comparable(datasets)
    try:
        measured = [
            _measure(dataset, classes=datasets[0].classes, progress=progress)
            for dataset in datasets
        ]
        matching = match(*(each.outcomes for each in measured)) if right is not None else None
        draws = _draws(measured, matching, seed=seed, resamples=resamples)
        resampled = _resample(measured, draws, total=resamples, progress=progress)
        sets = tuple(
            EvaluatedSet(
                name,
                dataset,
                measurement,
                estimates(measurement.values, values),
                read_novelty(dataset, measurement.outcomes),
            )
            for name, dataset, measurement, values in zip(
                _names(datasets), datasets, measured, resampled, strict=True
            )
        )
        comparison = compare(measured, resampled, matching=matching) if matching else None
        evaluation = Evaluation(out, sets, comparison, seed=seed, resamples=resamples)
        with originals(datasets[0].run) as pictures, files.folder_aside(out) as folder:
            write(evaluation, folder, thumbnails=thumbnails or pictures)
    finally:
        progress.end()
    return evaluation


def _check_parameters(*, seed: int, resamples: int) -> None:
    for name, value, least in (("seed", seed, 0), ("resamples", resamples, 1)):
        if value < least:
            raise errors.NotGreaterOrEqual(
                f"expected a number of at least {least}", where=name, got=str(value)
            )


def _check_comparable(datasets: list[ScoredDataset]) -> None:
    """Refuse two sets that were scored for different things."""
    left, right = datasets[0], datasets[-1]
    where, action = f"{left.path} and {right.path}", "Compare scores of the same classes."
    if left.schema.task != right.schema.task:
        tasks = f"'{left.schema.task}' and '{right.schema.task}'"
        raise errors.TasksDiffer(
            "expected two results of the same task", where=where, got=tasks, action=action
        )
    if set(left.classes) != set(right.classes):
        one_sided = sorted(set(left.classes) ^ set(right.classes))
        raise errors.TasksDiffer(
            "expected two results with the same classes",
            where=where,
            got=f"classes that only one of them has: {listed(one_sided)}",
            action=action,
        )


def _measure(
    dataset: ScoredDataset, *, classes: tuple[str, ...], progress: Progress
) -> Measurement:
    outcomes = read_outcomes(dataset, classes=classes)
    scores = read_scores(dataset, outcomes, progress=progress)
    return measure(outcomes, scores, progress=progress)


def _draws(
    measured: Sequence[Measurement], matching: Matching | None, *, seed: int, resamples: int
) -> list[Iterator[Floats]]:
    """Draw resamples for each set: the same images for both when both have the same images."""

    def draw(side: int, stream: int = 0) -> Iterator[Floats]:
        rows = measured[side].outcomes.count
        return draw_weights(rows, resamples=resamples, seed=seed, stream=stream)

    if matching is None:
        return [draw(0)]
    if not matching.is_complete:
        return [draw(0), draw(1, stream=1)]
    partner = matching.left[matching.right.argsort()]  # on the left, of each row on the right
    return [draw(0), (weights[partner] for weights in draw(0))]


def _resample(
    measured: Sequence[Measurement],
    draws: Sequence[Iterator[Floats]],
    *,
    total: int,
    progress: Progress,
) -> list[dict[str, Floats]]:
    progress.begin("Drawing resamples", total=total * len(measured), unit="resamples")
    resampled = [
        resample(measurement, _counted(weights, progress=progress))
        for measurement, weights in zip(measured, draws, strict=True)
    ]
    progress.end()
    return resampled


def _counted(weights: Iterable[Floats], *, progress: Progress) -> Iterator[Floats]:
    for weight in weights:
        yield weight
        progress.advance()


def _names(datasets: list[ScoredDataset]) -> list[str]:
    """Name each set by its file or folder, with as many parents as tell two sets apart."""
    paths = [Path(os.path.abspath(dataset.path)) for dataset in datasets]
    for parents in range(1, max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-parents:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return ["left", "right"]
