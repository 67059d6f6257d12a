"""The optimisers and their rates, step by step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from calotype.training import optimization
from calotype.training.optimization import optimizer_for, rate_share, set_rate
from calotype.training.plan import Plan

SGD = Plan(optimizer="sgd", weight_decay=1e-4)
ADAMW = Plan(optimizer="adamw", weight_decay=0.05)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))


def loss_of(net: nn.Module, scale: float = 1.0) -> torch.Tensor:
    return scale * net(torch.ones(1, 4)).square().sum()


def step(net: nn.Module, optimizer: torch.optim.Optimizer, scale: float = 1.0) -> None:
    loss_of(net, scale).backward()
    optimization.step(optimizer, net, SGD)


def test_sgd_is_the_documented_one() -> None:
    optimizer = optimizer_for(network(), 0.1, SGD)
    assert isinstance(optimizer, torch.optim.SGD)
    for group in optimizer.param_groups:
        assert (group["lr"], group["momentum"], group["nesterov"]) == (0.1, 0.9, True)


@pytest.mark.parametrize("plan", [SGD, ADAMW])
def test_weights_decay_and_biases_do_not(plan: Plan) -> None:
    optimizer = optimizer_for(network(), 0.1, plan)
    assert isinstance(optimizer, torch.optim.AdamW) == (plan is ADAMW)
    decays = {
        parameter.ndim: group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert decays == {2: plan.weight_decay, 1: 0.0}


def test_in_the_classic_recipe_everything_decays() -> None:
    plan = Plan(optimizer="sgd", weight_decay=1e-4, decays_all=True)
    (group,) = optimizer_for(network(), 0.1, plan).param_groups
    assert group["weight_decay"] == 1e-4
    assert len(group["params"]) == 4


def test_the_rate_rises_and_falls_in_half_a_cosine() -> None:
    plan = Plan(optimizer="sgd", weight_decay=0, warm_up=0.1)
    assert rate_share(plan, 0.05) == pytest.approx(0.5)
    assert rate_share(plan, 0.1) == pytest.approx(1.0)
    for progress in (0.2, 0.55, 0.9, 1.0):
        cosine = 0.5 * (1 + math.cos(math.pi * (progress - 0.1) / 0.9))
        assert rate_share(plan, progress) == pytest.approx(cosine)


def test_a_polynomial_falls_by_the_square_and_never_to_nothing() -> None:
    plan = Plan(optimizer="sgd", weight_decay=0, warm_up=0.0, schedule="polynomial")
    shares = [rate_share(plan, progress) for progress in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([1.0, 0.25, 1e-4])


def test_a_constant_rate_stays_after_the_warm_up() -> None:
    plan = Plan(optimizer="sgd", weight_decay=0, warm_up=0.2, schedule="constant")
    assert [rate_share(plan, progress) for progress in (0.1, 0.2, 0.9)] == [0.5, 1.0, 1.0]


def test_time_that_is_over_leaves_no_rate() -> None:
    assert rate_share(Plan(optimizer="sgd", weight_decay=0), 1.7) == 0.0


def test_a_step_lessens_the_loss() -> None:
    torch.manual_seed(0)
    net = network()
    optimizer = optimizer_for(net, 0.01, SGD)
    before = loss_of(net).item()
    for _ in range(50):
        step(net, optimizer)
    assert loss_of(net).item() < 0.5 * before


def test_one_enormous_gradient_moves_the_weights_a_little() -> None:
    net = network()
    before = torch.cat([parameter.detach().flatten() for parameter in net.parameters()])
    optimizer = optimizer_for(net, 1.0, SGD)
    set_rate(optimizer, 0.1)
    step(net, optimizer, scale=1e6)
    after = torch.cat([parameter.detach().flatten() for parameter in net.parameters()])
    # Nesterov's first step is 1 + momentum times the gradient, whose length is at most 5.
    assert (after - before).norm().item() == pytest.approx(0.1 * 1.9 * 5, rel=0.01)


def test_gradients_do_not_pile_up() -> None:
    net = network()
    step(net, optimizer_for(net, 1e-9, SGD))
    assert all(parameter.grad is None for parameter in net.parameters())
