"""The loop: what stands still, what is kept, when it stops, and what it makes of misery."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_digits import SMALL, Told
from torch import nn

from calotype import errors
from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Preprocessing, Preprocessor
from calotype.models.architectures import build
from calotype.training import plan, rate_finder
from calotype.training.augmentation import Augmentation
from calotype.training.batches import LabeledImages
from calotype.training.memory import memory_errors
from calotype.training.outcome import EpochMetrics, Listeners
from calotype.training.parameters import TrainingParameters
from calotype.training.plan import plan_for
from calotype.training.run import Run

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


def run_of(net: nn.Module, told: Told, *, tuning: bool = False, **chosen: Any) -> Run:
    parameters = TrainingParameters.of({"batch_size": 20, "learning_rate": 0.05, **chosen})
    return Run(
        net,
        heads=("fc",),
        plan=plan_for(parameters, net, is_fine_tuning=tuning),
        augmentation=Augmentation(SMALL, PREPROCESSING),
        parameters=parameters,
        listeners=Listeners(told),
    )


def changed(before: State, after: State) -> set[str]:
    return {name for name, value in before.items() if not value.equal(after[name])}


Images = Callable[[str], LabeledImages]


def test_the_head_may_learn_first_and_then_everything(
    images: Images, pool: ThreadPoolExecutor
) -> None:
    net = network()
    told = Snapshots(net)
    run_of(net, told, unfreeze="head_first", epochs=2).fit(images("few"), images("few"), pool)
    first, second = itertools.pairwise(told.states)
    # The statistics of batch norm adapt to the new images from the start; no other weight moves.
    weights = {name for name, _ in net.named_parameters()}
    assert changed(*first) & weights == {"fc.weight", "fc.bias"}
    assert "bn1.running_mean" in changed(*first)
    assert changed(*second) == set(told.states[0])


@pytest.mark.parametrize(("unfreeze", "epochs"), [("head_first", 1), ("gradual", 1), ("auto", 2)])
def test_otherwise_everything_moves_from_the_start(
    images: Images, pool: ThreadPoolExecutor, unfreeze: str, epochs: int
) -> None:
    net = network()
    told = Snapshots(net)
    run_of(net, told, unfreeze=unfreeze, epochs=epochs).fit(images("few"), images("few"), pool)
    assert changed(told.states[0], told.states[1]) == set(told.states[0])


def test_layers_may_learn_one_group_after_the_other(
    images: Images, pool: ThreadPoolExecutor
) -> None:
    """The head alone, then from the last block to the first, all from the middle of the run on."""
    net = network()
    told = Snapshots(net)
    run_of(net, told, unfreeze="gradual", epochs=6).fit(images("few"), images("few"), pool)
    weights = {name for name, _ in net.named_parameters()}
    first, second, third, *_ = (
        changed(*pair) & weights for pair in itertools.pairwise(told.states)
    )
    assert first == {"fc.weight", "fc.bias"}
    assert first < second < third == weights
    assert any(name.startswith("layer4") for name in second)
    assert not any(name.startswith("conv1") for name in second)


def test_a_moving_average_is_what_is_validated_and_kept(
    images: Images, pool: ThreadPoolExecutor
) -> None:
    net, plain = network(), network()
    outcome = run_of(net, Told(), epochs=2, ema=0.9).fit(images("few"), images("check"), pool)
    other = run_of(plain, Told(), epochs=2).fit(images("few"), images("check"), pool)
    # The steps are the same, so what is learnt from is; the kept weights are smoother.
    assert outcome.epochs[0].train_loss == other.epochs[0].train_loss
    assert outcome.epochs[0].validation_loss != other.epochs[0].validation_loss
    check = images("check")
    (batch,) = check.evaluation_batches(pool, size=100)
    with torch.inference_mode():
        loss = nn.functional.cross_entropy(net.eval()(batch.inputs), batch.targets).item()
    assert outcome.kept.validation_loss == pytest.approx(loss, rel=1e-4)


def test_batches_that_are_added_up_are_one_large_batch(
    images: Images, pool: ThreadPoolExecutor
) -> None:
    """Without batch norm, whose statistics are those of each small batch."""
    states: list[State] = []
    for size, accumulate in ((20, 1), (5, 4)):
        torch.manual_seed(1)
        net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.Flatten(), nn.Linear(4 * 49, 10))
        run = run_of(
            net, Told(), epochs=1, batch_size=size, accumulate=accumulate, precision="fp32"
        )
        run.fit(images("few"), images("few"), pool)
        states.append(net.state_dict())
    for name, value in states[0].items():
        assert torch.allclose(value, states[1][name], rtol=1e-3, atol=1e-5), name


def test_the_time_budget_ends_it_and_the_rate_has_fallen_by_then(
    images: Images, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_s = itertools.count()  # every look at the clock takes a second
    clock = SimpleNamespace(monotonic=lambda: float(next(clock_s)))
    monkeypatch.setattr("calotype.training.run.time", clock)
    run = run_of(network(), Told(), epochs=10_000, patience=10_000, max_minutes=1)
    outcome = run.fit(images("few"), images("few"), pool)
    assert outcome.stopped == "time"
    assert 1 < len(outcome.epochs) < 60
    assert sum(metrics.elapsed_s for metrics in outcome.epochs) <= 60
    rates = [metrics.learning_rate for metrics in outcome.epochs]
    assert rates[-1] < 0.1 * max(rates)


def test_a_learning_rate_is_found_and_learns(images: Images, pool: ThreadPoolExecutor) -> None:
    told = Told()
    run = run_of(network(), told, epochs=3, learning_rate="auto", patience=9)
    outcome = run.fit(images("learn"), images("check"), pool)
    assert 1e-4 < outcome.learning_rate < 2
    assert told.said[0] == f"learning rate {outcome.learning_rate:.2g}, found on 60 batches"
    assert outcome.epochs[-1].train_loss < outcome.epochs[0].train_loss < math.log(10) * 1.3


def test_a_rate_that_is_far_too_high_spoils_nothing(
    images: Images, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradients of a loss that has exploded must not be left for the first real step."""
    monkeypatch.setattr(rate_finder, "_HIGHEST", {"sgd": 1e30, "adamw": 1e30})
    monkeypatch.setattr(rate_finder, "_HOPELESS", math.inf)
    net = network()
    run_of(net, Told(), epochs=1, learning_rate="auto").fit(images("few"), images("few"), pool)
    assert all(value.isfinite().all() for value in net.state_dict().values())


def test_the_classic_recipe_keeps_the_last_epoch_and_its_own_patience(
    images: Images, pool: ThreadPoolExecutor
) -> None:
    """It counts epochs in a row that are no better than the one before."""
    check = images("check")
    check.targets = (check.targets + 1) % 10  # the more is learnt, the worse it gets
    run = run_of(network(), Told(), epochs=20, patience=3, recipe="classic")
    outcome = run.fit(images("learn"), check, pool)
    losses = [metrics.validation_loss for metrics in outcome.epochs]
    assert outcome.stopped == "patience"
    assert outcome.kept == outcome.epochs[-1]
    assert losses[-4] <= losses[-3] <= losses[-2] <= losses[-1]


def test_looking_for_a_rate_leaves_the_network_as_it_was(
    images: Images, pool: ThreadPoolExecutor
) -> None:
    """The same rate, found or given, leads to the same weights."""
    found, given = network(), network()
    told = Told()
    rate = (
        run_of(found, told, epochs=1, learning_rate="auto")
        .fit(images("few"), images("few"), pool)
        .learning_rate
    )
    run_of(given, Told(), epochs=1, learning_rate=rate).fit(images("few"), images("few"), pool)
    assert not changed(dict(found.state_dict()), dict(given.state_dict()))


def test_bf16_learns_as_fp32_does(
    images: Images, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processors without bf16 only take longer for it."""
    monkeypatch.setattr(plan, "has_bf16", lambda: True)
    losses: list[float] = []
    for precision in ("fp32", "bf16"):
        net = network()
        run = run_of(net, Told(), epochs=2, precision=precision)
        outcome = run.fit(images("learn"), images("check"), pool)
        losses.append(outcome.epochs[-1].train_loss)
        assert {value.dtype for value in net.parameters()} == {torch.float32}
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.15)


@pytest.mark.parametrize(
    "chosen", [{"mixup": 0.2}, {"label_smoothing": 0.2}, {"balance": "sampling"}]
)
def test_what_is_chosen_changes_what_is_learnt_and_it_still_learns(
    images: Images, pool: ThreadPoolExecutor, chosen: dict[str, Any]
) -> None:
    def fitted(**chosen: Any) -> list[EpochMetrics]:
        run = run_of(network(), Told(), epochs=4, **chosen)
        return run.fit(images("learn"), images("check"), pool).epochs

    changed_run, plain = fitted(**chosen), fitted(label_smoothing=0)
    assert changed_run[0].train_loss != plain[0].train_loss
    assert changed_run[-1].train_loss < changed_run[0].train_loss


def test_the_epoch_with_the_lowest_validation_loss_is_kept(
    images: Images, pool: ThreadPoolExecutor
) -> None:
    """Validation labels are wrong: the more is learnt, the worse it gets."""
    net = network()
    told = Snapshots(net)
    check = images("check")
    check.targets = (check.targets + 1) % 10
    outcome = run_of(net, told, epochs=10, patience=2).fit(images("learn"), check, pool)
    losses = [metrics.validation_loss for metrics in outcome.epochs]
    assert outcome.kept.validation_loss == min(losses)
    assert outcome.kept.epoch == losses.index(min(losses)) + 1
    assert len(outcome.epochs) == outcome.kept.epoch + 2 < 10
    assert outcome.stopped == "patience"
    assert told.said[-1] == f"stopped early: epoch {outcome.kept.epoch} stays the best"
    # And its weights are what the network has in the end.
    kept = told.states[outcome.kept.epoch]
    assert not changed(kept, dict(net.state_dict()))
    assert changed(kept, told.states[-1])


def test_every_metric_of_every_epoch_is_there(images: Images, pool: ThreadPoolExecutor) -> None:
    told = Told()
    outcome = run_of(network(), told, epochs=3).fit(images("few"), images("check"), pool)
    assert [metrics.epoch for metrics in outcome.epochs] == [1, 2, 3]
    for metrics in outcome.epochs:
        for value in (metrics.train_loss, metrics.validation_loss, metrics.elapsed_s):
            assert math.isfinite(value)
            assert value > 0
        assert 0 <= metrics.train_error <= 1
        assert 0 <= metrics.top_1_accuracy <= metrics.top_5_accuracy <= 1
        assert metrics.train_images_per_s > 0
    rates = [metrics.learning_rate for metrics in outcome.epochs]
    assert 0.05 > rates[0] > rates[1] > rates[2] > 0
    assert outcome.kept in outcome.epochs
    assert outcome.stopped == "epochs"
    assert told.tasks == [("training", 6, "batches")]
    assert told.advanced == 6
    assert told.ended == 1
    assert sum(message.startswith("epoch ") for message in told.said) == 3


def test_validation_is_the_mean_over_images_whatever_the_batches(
    images: Images, pool: ThreadPoolExecutor
) -> None:
    net, check = network(), images("check")
    run = run_of(net, Told(), epochs=1, batch_size=32)  # the last batch has 4 images
    metrics = run.fit(images("few"), check, pool).kept
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
    with pytest.raises(errors.TrainingDataUnusable, match="Choose a lower learning rate") as got:
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
    with pytest.raises(errors.OutOfMemory, match="smaller batch size") as caught, memory_errors():
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
