"""What parameters come to: the defaults for each kind of run, and the classic recipe."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from calotype import errors
from calotype.models.architectures import build
from calotype.training import plan as plans
from calotype.training.parameters import TrainingParameters
from calotype.training.plan import Plan, plan_for

DENSE = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=2))
DEPTHWISE = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8))


def plan_of(*, tuning: bool = False, network: nn.Module = DENSE, **chosen: Any) -> Plan:
    return plan_for(TrainingParameters.of(chosen), network, is_fine_tuning=tuning)


def test_from_scratch_it_is_sgd_and_fine_tuning_is_adamw_with_an_average() -> None:
    scratch, tuned = plan_of(), plan_of(tuning=True)
    assert (scratch.optimizer, scratch.average_decay, scratch.zeroes_head) == ("sgd", 0.0, False)
    assert (tuned.optimizer, tuned.average_decay, tuned.zeroes_head) == ("adamw", 0.98, True)
    assert scratch.schedule == tuned.schedule == "cosine"


def test_what_was_chosen_stays() -> None:
    plan = plan_of(
        tuning=True,
        optimizer="sgd",
        schedule="constant",
        label_smoothing=0.3,
        ema=0,
        warmup_epochs=2,
        epochs=8,
        unfreeze="gradual",
        mixup=0.4,
        balance="loss",
    )
    assert (plan.optimizer, plan.schedule, plan.label_smoothing) == ("sgd", "constant", 0.3)
    assert (plan.average_decay, plan.warm_up, plan.unfreeze) == (0, 0.25, "gradual")
    assert (plan.mixup, plan.balance) == (0.4, "loss")


def test_the_classic_recipe_repeats_the_retired_module() -> None:
    plan = plan_of(tuning=True, recipe="classic")
    assert (plan.optimizer, plan.schedule, plan.warm_up) == ("sgd", "polynomial", 0.0)
    assert (plan.label_smoothing, plan.average_decay, plan.most_norm) == (0.0, 0.0, None)
    assert plan.decays_all
    assert plan.draws_once
    assert plan.keeps_last
    assert not plan.is_bf16
    assert not plan.zeroes_head


def test_a_warm_up_as_long_as_the_run_still_lets_it_learn() -> None:
    """The retired module divided by zero after its last epoch."""
    plan = plan_of(epochs=3, warmup_epochs=3)
    assert plan.warm_up == 0.9


def test_bf16_is_for_networks_that_gain_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "has_bf16", lambda: True)
    assert plan_of().is_bf16
    assert not plan_of(network=DEPTHWISE).is_bf16
    assert plan_of(network=DEPTHWISE, precision="bf16").is_bf16
    assert not plan_of(precision="fp32").is_bf16
    assert not plan_of(network=build("efficientnet_lite0", classes=2)).is_bf16


def test_bf16_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "has_bf16", lambda: False)
    assert not plan_of().is_bf16
    with pytest.raises(errors.OperationFailed, match="parameter 'precision': expected a processor"):
        plan_of(precision="bf16")


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("learning_rate", "fast", 2),
        ("learning_rate", 0, 4),
        ("epochs", 0, 4),
        ("mixup", -1, 8),
        ("label_smoothing", 1, 8),
        ("max_minutes", 0, 4),
        ("balance", "some", 2),
        ("ema", 1.5, 8),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: object, number: int) -> None:
    with pytest.raises(errors.ParameterError, match=f"parameter '{name}'") as caught:
        TrainingParameters.of({name: value})
    assert caught.value.number == number


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("0.02", 0.02), ("1e-3", 0.001)])
def test_a_learning_rate_is_a_number_or_a_word(text: str, value: object) -> None:
    assert TrainingParameters.of({"learning_rate": text}).learning_rate == value
