"""Several processes train one network: what they do together is what one would do alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_digits import SMALL, Told

from calotype import errors
from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Preprocessing, Preprocessor
from calotype.models.image_model import ImageModel
from calotype.scoring.scorer import Scorer
from calotype.training import processes as started_processes
from calotype.training.augmentation import Augmentation
from calotype.training.batches import Drawing, LabeledImages
from calotype.training.outcome import Listeners
from calotype.training.parameters import Network, TrainingParameters
from calotype.training.train import train

Digits = Callable[[str], ImageDirectory]
PREPROCESSING = Preprocessing.of_transformation(SMALL, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.fixture
def few(digits: Digits) -> Iterator[LabeledImages]:
    directory = digits("few")
    images = LabeledImages.of(
        directory,
        directory.categories,
        reader=directory.reader(),
        preprocessor=Preprocessor(PREPROCESSING),
    )
    with images.reader:
        yield images


@pytest.mark.parametrize(("size", "processes"), [(16, 2), (7, 3), (40, 4), (13, 2)])
def test_the_parts_of_an_epoch_are_the_whole_and_nothing_twice(
    few: LabeledImages, size: int, processes: int
) -> None:
    augmentation = Augmentation(SMALL, PREPROCESSING)

    def epoch(part: tuple[int, int]) -> list[Any]:
        drawing = Drawing(size=size, seed=1, part=part)
        with ThreadPoolExecutor(2) as pool:
            return list(few.training_batches(pool, augmentation, drawing, epoch=1, varied_as=1))

    whole = epoch((0, 1))
    parts = [epoch((rank, processes)) for rank in range(processes)]
    for index, batch in enumerate(whole):
        shares = [part[index] for part in parts]
        if len(batch.targets) < 2 * processes:  # too few to share out: all have them, one counts
            assert all(share.inputs.equal(batch.inputs) for share in shares)
        else:
            assert torch.cat([share.inputs for share in shares]).equal(batch.inputs)
        assert {share.size for share in shares} == {len(batch.targets)}


def test_the_parts_of_a_validation_are_the_whole(few: LabeledImages) -> None:
    with ThreadPoolExecutor(2) as pool:
        rows = [
            batch.inputs.numpy()
            for rank in range(3)
            for batch in few.evaluation_batches(pool, size=7, part=(rank, 3))
        ]
        (whole,) = few.evaluation_batches(pool, size=40)
    seen = sorted(row.tobytes() for row in np.concatenate(rows))
    assert seen == sorted(row.tobytes() for row in whole.inputs.numpy())


def trained(digits: Digits, out: Path, processes: int, **chosen: Any) -> dict[str, Any]:
    """Train at a batch size that leaves a last batch of 12, and of 2 in the validation."""
    told = Told()
    model = train(
        Network("resnet18", pretrained="none"),
        digits("learn"),
        digits("check"),
        out,
        transformation=SMALL,
        parameters=TrainingParameters.of(
            {"epochs": 4, "batch_size": 24, "learning_rate": 0.05, **chosen}
        ),
        processes=processes,
        listeners=Listeners(told),
    )
    assert model.description.training["processes"] == processes
    return model.description.training


@pytest.mark.slow
def test_two_processes_reach_what_one_reaches(digits: Digits, tmp_path: Path) -> None:
    alone = trained(digits, tmp_path / "alone", 1)["epoch_metrics"]
    together = trained(digits, tmp_path / "together", 2)["epoch_metrics"]
    # 100 images: three standard errors of a difference of accuracies near 0.9 are 0.13.
    best = [max(row["top_1_accuracy"] for row in rows) for rows in (alone, together)]
    assert min(best) >= 0.7
    assert best[1] == pytest.approx(best[0], abs=0.15)
    # The first steps are nearly the same ones; only batch norm sees half as many images.
    assert together[0]["train_loss"] == pytest.approx(alone[0]["train_loss"], rel=0.25)
    # What both have validated together is what the saved model scores.
    model, check = ImageModel.load(tmp_path / "together"), digits("check")
    hits = [
        row.argmax() == model.classes.index(entry.category or "")
        for chunk in Scorer(model, "fp32").chunks(check)
        for entry, row in zip(chunk.entries, chunk.probabilities, strict=True)
    ]
    assert np.mean(hits) == pytest.approx(model.metrics["top_1_accuracy"])


@pytest.mark.slow
def test_a_time_budget_holds_for_all_processes(digits: Digits, tmp_path: Path) -> None:
    training = trained(digits, tmp_path / "model", 2, epochs=1000, patience=1000, max_minutes=0.05)
    assert training["stopped"] == "time"
    # No epoch begins after it, however long one takes on a busy machine.
    assert sum(row["elapsed_s"] for row in training["epoch_metrics"][:-1]) < 3


@pytest.mark.slow
def test_without_batch_norm_two_processes_do_just_what_one_does(
    digits: Digits, tmp_path: Path
) -> None:
    """A ViT has none: every epoch comes to the same, to rounding, uneven batches included."""
    runs: list[list[dict[str, float]]] = []
    for processes in (1, 2):
        model = train(
            Network("test_vit", arguments={"img_size": 32}, pretrained="none"),
            digits("few"),
            digits("check"),
            tmp_path / str(processes),
            transformation=SMALL,
            parameters=TrainingParameters(
                epochs=2, batch_size=13, learning_rate=0.01, precision="fp32"
            ),
            processes=processes,
        )
        runs.append(model.description.training["epoch_metrics"])
    for one, two in zip(*runs, strict=True):
        for name in ("train_loss", "validation_loss"):
            assert two[name] == pytest.approx(one[name], rel=1e-3), name
        for name, image in (("train_error", 1 / 40), ("top_1_accuracy", 1 / 100)):
            assert two[name] == pytest.approx(one[name], abs=1.1 * image), name  # rounding


@pytest.mark.slow
def test_a_process_that_dies_ends_the_run_with_a_message(
    digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[int] = []
    start = started_processes._start  # pyright: ignore[reportPrivateUsage]

    def remember(place: Path, rank: int) -> Any:
        process = start(place, rank)
        others.append(process.pid)
        return process

    def kill_when_trained(_: object) -> None:
        os.kill(others[0], signal.SIGKILL)

    monkeypatch.setattr(started_processes, "_start", remember)
    with pytest.raises(errors.OperationFailed, match="expected all training processes") as caught:
        train(
            Network("test_resnet", pretrained="none"),
            digits("few"),
            digits("few"),
            tmp_path / "model",
            transformation=SMALL,
            parameters=TrainingParameters(epochs=50, batch_size=10),
            processes=2,
            listeners=Listeners(on_epochs=kill_when_trained),
        )
    assert caught.value.number == 39
    assert "--resume" in str(caught.value)


@pytest.mark.parametrize("processes", [0, -1, 10_000])
def test_a_number_of_processes_that_cannot_be_is_refused(
    digits: Digits, tmp_path: Path, processes: int
) -> None:
    with pytest.raises(errors.NotInRange, match="parameter 'processes'") as caught:
        trained(digits, tmp_path / "model", processes)
    assert caught.value.number == 8
