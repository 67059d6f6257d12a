"""The loop: what stands still, what is kept, when it stops, and what it makes of misery."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from small_digits import SMALL, Told
from torch import nn

from calotype import errors
from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Preprocessing, Preprocessor
from calotype.models.architectures import build
from calotype.training.augmentation import Augmentation
from calotype.training.batches import LabeledImages
from calotype.training.parameters import TrainingParameters
from calotype.training.run import Run, memory_errors

PREPROCESSING = Preprocessing.of_transformation(SMALL, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
State = dict[str, torch.Tensor]


class Snapshots(Told):
    """A listener that copies the network's state after every epoch."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.states: list[State] = [self.now()]

    def now(self) -> State:
        return {name: value.clone() for name, value in self.network.state_dict().items()}

    def say(self, message: str) -> None:
        super().say(message)
        if message.startswith("epoch "):
            self.states.append(self.now())


@pytest.fixture
def images(digits: Callable[[str], ImageDirectory]) -> Iterator[Callable[[str], LabeledImages]]:
    opened: list[LabeledImages] = []

    def of(name: str) -> LabeledImages:
        directory = digits(name)
        opened.append(
            LabeledImages.of(
                directory,
                directory.categories,
                reader=directory.reader(),
                preprocessor=Preprocessor(PREPROCESSING),
            )
        )
        return opened[-1]

    yield of
    for one in opened:
        one.reader.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def network() -> nn.Module:
    torch.manual_seed(1)
    return build("test_resnet", classes=10)


def run_of(net: nn.Module, told: Told, *, tuning: bool = False, **parameters: Any) -> Run:
    return Run(
        net,
        heads=("fc",),
        is_fine_tuning=tuning,
        augmentation=Augmentation(SMALL, PREPROCESSING),
        parameters=TrainingParameters.of({"batch_size": 20, "learning_rate": 0.05, **parameters}),
        progress=told,
    )


def changed(before: State, after: State) -> set[str]:
    return {name for name, value in before.items() if not value.equal(after[name])}


Images = Callable[[str], LabeledImages]


def test_fine_tuning_moves_the_head_first_and_then_everything(
    images: Images, pool: ThreadPoolExecutor
) -> None:
    net = network()
    told = Snapshots(net)
    run_of(net, told, tuning=True, epochs=2).fit(images("few"), images("few"), pool)
    first, second = itertools.pairwise(told.states)
    # The statistics of batch norm adapt to the new images from the start; no other weight moves.
    weights = {name for name, _ in net.named_parameters()}
    assert changed(*first) & weights == {"fc.weight", "fc.bias"}
    assert "bn1.running_mean" in changed(*first)
    assert changed(*second) == set(told.states[0])


@pytest.mark.parametrize(("tuning", "epochs"), [(True, 1), (False, 1), (False, 2)])
def test_otherwise_everything_moves_from_the_start(
    images: Images, pool: ThreadPoolExecutor, tuning: bool, epochs: int
) -> None:
    net = network()
    told = Snapshots(net)
    run_of(net, told, tuning=tuning, epochs=epochs).fit(images("few"), images("few"), pool)
    assert changed(told.states[0], told.states[1]) == set(told.states[0])


def test_the_epoch_with_the_lowest_validation_loss_is_kept(
    images: Images, pool: ThreadPoolExecutor
) -> None:
    """Validation labels are wrong: the more is learnt, the worse it gets."""
    net = network()
    told = Snapshots(net)
    check = images("check")
    check.targets = (check.targets + 1) % 10
    run = run_of(net, told, epochs=10, patience=2)
    best = run.fit(images("learn"), check, pool)
    losses = [metrics.validation_loss for metrics in run.epochs]
    assert best.metrics.validation_loss == min(losses)
    assert best.metrics.epoch == losses.index(min(losses)) + 1
    assert len(run.epochs) == best.metrics.epoch + 2 < 10  # patience
    assert told.said[-1] == f"stopped early: epoch {best.metrics.epoch} stays the best"
    # And its weights are what the network has in the end.
    kept = told.states[best.metrics.epoch]
    assert not changed(kept, dict(net.state_dict()))
    assert changed(kept, told.states[-1])


def test_every_metric_of_every_epoch_is_there(images: Images, pool: ThreadPoolExecutor) -> None:
    told = Told()
    run = run_of(network(), told, epochs=3)
    best = run.fit(images("few"), images("check"), pool)
    assert [metrics.epoch for metrics in run.epochs] == [1, 2, 3]
    for metrics in run.epochs:
        for value in (metrics.train_loss, metrics.validation_loss, metrics.elapsed_s):
            assert math.isfinite(value)
            assert value > 0
        assert 0 <= metrics.train_error <= 1
        assert 0 <= metrics.top_1_accuracy <= metrics.top_5_accuracy <= 1
        assert metrics.train_images_per_s > 0
    assert run.epochs[0].learning_rate == pytest.approx(0.05)
    assert 0.05 > run.epochs[1].learning_rate > run.epochs[2].learning_rate > 0
    assert best.metrics in run.epochs
    assert told.tasks == [("training", 6, "batches")]
    assert told.advanced == 6
    assert told.ended == 1
    assert sum(message.startswith("epoch ") for message in told.said) == 3


def test_validation_is_the_mean_over_images_whatever_the_batches(
    images: Images, pool: ThreadPoolExecutor
) -> None:
    net, check = network(), images("check")
    run = run_of(net, Told(), epochs=1, batch_size=32)  # the last batch has 4 images
    metrics = run.fit(images("few"), check, pool).metrics
    (batch,) = check.evaluation_batches(pool, size=100)
    with torch.inference_mode():
        logits = net.eval()(batch.inputs)
    expected = nn.functional.cross_entropy(logits, batch.targets).item()
    ranked = logits.argsort(dim=1, descending=True) == batch.targets[:, None]
    assert metrics.validation_loss == pytest.approx(expected, rel=1e-4)
    assert metrics.top_1_accuracy == ranked[:, 0].sum().item() / 100
    assert metrics.top_5_accuracy == ranked[:, :5].sum().item() / 100


def test_a_loss_that_is_not_finite_ends_it(images: Images, pool: ThreadPoolExecutor) -> None:
    told = Told()
    with pytest.raises(errors.TrainingDataUnusable, match="Choose a lower --learning-rate") as got:
        run_of(network(), told, epochs=9, learning_rate=1e12).fit(
            images("few"), images("few"), pool
        )
    assert got.value.number == 83
    assert told.ended == 1


@pytest.mark.parametrize("without", ["learning", "checking"])
def test_without_a_readable_image_it_ends(
    images: Images, pool: ThreadPoolExecutor, without: str
) -> None:
    nothing = images("few")
    nothing.entries, nothing.targets = [], nothing.targets[:0]
    some = images("few")
    learn, check = (nothing, some) if without == "learning" else (some, nothing)
    with pytest.raises(errors.TrainingDataUnusable, match="expected readable images"):
        run_of(network(), Told(), epochs=1).fit(learn, check, pool)


def test_exhausted_memory_has_its_number() -> None:
    with pytest.raises(errors.OutOfMemory, match="smaller --batch-size") as caught, memory_errors():
        torch.empty(2**58)
    assert caught.value.number == 138
    with pytest.raises(RuntimeError, match="shapes"), memory_errors():
        torch.matmul(torch.ones(2, 3), torch.ones(2, 3))


@pytest.mark.parametrize(("before", "after"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_torchs_threads_are_told_not_to_spin_unless_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch, before: str | None, after: str
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if before is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", before)
    code = (
        "import calotype.training, os, sys; "
        "print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", after]
