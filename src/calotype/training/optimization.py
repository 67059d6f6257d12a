"""The optimiser, how its rate moves, and which layers it may change."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import nn

from calotype.training.plan import Plan

_LOWEST: Final = 1e-4  # of the highest rate, where a polynomial ends


def optimizer_for(network: nn.Module, learning_rate: float, plan: Plan) -> torch.optim.Optimizer:
    """Return the plan's optimiser of all parameters.

    Biases and batch norms are not pulled towards zero: they are few, and shrinking them only
    undoes what the data has set.
    """
    parameters = list(network.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [one for one in parameters if plan.decays_all or one.ndim > 1]},
        {
            "params": [one for one in parameters if not plan.decays_all and one.ndim <= 1],
            "weight_decay": 0.0,
        },
    ]
    groups = [group for group in groups if group["params"]]
    if plan.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, weight_decay=plan.weight_decay)
    return torch.optim.SGD(
        groups, lr=learning_rate, momentum=0.9, nesterov=True, weight_decay=plan.weight_decay
    )


def rate_share(plan: Plan, progress: float) -> float:
    """Return the share of the highest rate at one point of a run.

    Args:
        plan: its schedule and warm-up.
        progress: how much of the run is done, 0-1.

    >>> from calotype.training.plan import Plan
    >>> plan = Plan(optimizer="sgd", weight_decay=0.0, warm_up=0.5)
    >>> [round(rate_share(plan, progress), 3) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if progress < plan.warm_up:
        return progress / plan.warm_up
    fallen = min(1.0, (progress - plan.warm_up) / max(1.0 - plan.warm_up, 1e-9))
    if plan.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * fallen))
    if plan.schedule == "polynomial":
        return max((1 - fallen) ** 2, _LOWEST)
    return 1.0


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Let the next step change the weights at `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def step(optimizer: torch.optim.Optimizer, network: nn.Module, plan: Plan) -> None:
    """Change the weights by the gradients that were gathered, and forget these."""
    if plan.most_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), plan.most_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def unfreeze(
    network: nn.Module, plan: Plan, heads: tuple[str, ...], *, epoch: int, epochs: int
) -> None:
    """Let the layers learn whose turn it is.

    Batch norms of frozen layers go on adapting to the new images meanwhile: heads that were trained
    on the old statistics would have to start over when the rest is let loose.

    Args:
        network: whose parameters are frozen or not.
        plan: its way of unfreezing.
        heads: the names of the last layers.
        epoch: from 1 on.
        epochs: of the run.
    """
    learns = _who_learns(network, plan, heads, epoch=epoch, epochs=epochs)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(learns(name))


def _who_learns(
    network: nn.Module, plan: Plan, heads: tuple[str, ...], *, epoch: int, epochs: int
) -> Callable[[str], bool]:
    if plan.unfreeze == "all" or epochs == 1 or (plan.unfreeze == "head_first" and epoch > 1):
        return lambda name: True
    prefixes = tuple(f"{name}." for name in heads)
    if plan.unfreeze == "head_first":
        return lambda name: name.startswith(prefixes)
    # The head alone in the first epoch, all layers from the middle of the run on.
    groups = _groups(network)
    share = min(1.0, (epoch - 1) / max(1, math.ceil(epochs / 2) - 1)) if epochs > 2 else epoch - 1
    free = groups[len(groups) - round(share * len(groups)) :]
    prefixes += tuple(f"{name}." for name in free)
    return lambda name: name.startswith(prefixes) or share == 1.0


def _groups(network: nn.Module) -> list[str]:
    """Return the names of a network's blocks, from its input to its output.

    The blocks of a network that is one long sequence lie one level deeper.
    """
    names: list[str] = []
    for name, layer in network.named_children():
        if isinstance(layer, nn.Sequential) and len(list(network.children())) <= 6:
            names += [f"{name}.{inner}" for inner, _ in layer.named_children()]
        else:
            names.append(name)
    return [name for name in names if any(True for _ in network.get_submodule(name).parameters())]
