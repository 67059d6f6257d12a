"""The optimisers and their rates, step by step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from calotype.training.schedule import Schedule, optimizer_for


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))


def loss_of(net: nn.Module, scale: float = 1.0) -> torch.Tensor:
    return scale * net(torch.ones(1, 4)).square().sum()


def rates(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    schedule = Schedule(optimizer, steps=steps)
    seen: list[float] = []
    for _ in range(steps):
        seen.append(schedule.rate)
        schedule.step(loss_of(net))
    return [*seen, schedule.rate]


def test_from_scratch_it_is_the_documented_sgd() -> None:
    optimizer = optimizer_for(network(), 0.1, is_fine_tuning=False)
    assert isinstance(optimizer, torch.optim.SGD)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.1, 0.9, True)
    assert group["weight_decay"] == 1e-4
    assert len(group["params"]) == 4


def test_fine_tuning_uses_adamw() -> None:
    optimizer = optimizer_for(network(), 0.1, is_fine_tuning=True)
    assert isinstance(optimizer, torch.optim.AdamW)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.01)


def test_the_rate_rises_for_a_twentieth_and_falls_in_half_a_cosine() -> None:
    net = network()
    seen = rates(net, optimizer_for(net, 0.1, is_fine_tuning=False), 100)
    assert seen[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    for step in range(5, 101):
        assert seen[step] == pytest.approx(0.05 * (1 + math.cos(math.pi * (step - 5) / 95)))
    assert seen[-1] == pytest.approx(0, abs=1e-9)
    assert max(seen) == pytest.approx(0.1)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_begin_at_the_highest_rate(steps: int) -> None:
    net = network()
    seen = rates(net, optimizer_for(net, 0.1, is_fine_tuning=False), steps)
    assert seen[0] == pytest.approx(0.1)
    assert all(math.isfinite(rate) and rate >= 0 for rate in seen)


def test_a_step_lessens_the_loss() -> None:
    torch.manual_seed(0)
    net = network()
    schedule = Schedule(optimizer_for(net, 0.01, is_fine_tuning=False), steps=50)
    before = loss_of(net).item()
    for _ in range(50):
        schedule.step(loss_of(net))
    assert loss_of(net).item() < 0.5 * before


def test_one_enormous_gradient_moves_the_weights_a_little() -> None:
    net = network()
    before = torch.cat([parameter.detach().flatten() for parameter in net.parameters()])
    schedule = Schedule(optimizer_for(net, 0.1, is_fine_tuning=False), steps=1)
    schedule.step(loss_of(net, scale=1e6))
    after = torch.cat([parameter.detach().flatten() for parameter in net.parameters()])
    # Nesterov's first step is 1 + momentum times the gradient, whose length is at most 5.
    assert (after - before).norm().item() == pytest.approx(0.1 * 1.9 * 5, rel=0.01)


def test_gradients_do_not_pile_up() -> None:
    net = network()
    weight = net.get_parameter("0.weight")
    schedule = Schedule(optimizer_for(net, 1e-9, is_fine_tuning=False), steps=3)
    lengths: list[float] = []
    for _ in range(3):
        schedule.step(loss_of(net))
        assert weight.grad is not None
        lengths.append(weight.grad.norm().item())
    assert lengths[1:] == pytest.approx(lengths[:1] * 2, rel=1e-3)
