"""The optimiser and how its rate moves during a run."""

from __future__ import annotations

import math

import torch
from torch import nn

_WARM_UP = 0.05  # share of all steps
_MOST_NORM = 5.0


def optimizer_for(
    network: nn.Module, learning_rate: float, *, is_fine_tuning: bool
) -> torch.optim.Optimizer:
    """Return SGD for training from scratch, as documented, or AdamW for fine-tuning.

    Args:
        network: what is trained.
        learning_rate: the highest rate.
        is_fine_tuning: whether the network starts from pretrained weights.
    """
    if is_fine_tuning:
        return torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=0.01)
    return torch.optim.SGD(
        network.parameters(), lr=learning_rate, momentum=0.9, nesterov=True, weight_decay=1e-4
    )


class Schedule:
    """Linear warm-up over the first twentieth of the steps, then a half cosine down to zero."""

    def __init__(self, optimizer: torch.optim.Optimizer, *, steps: int) -> None:
        self._optimizer = optimizer
        warm_up = max(1, round(steps * _WARM_UP))

        def share(step: int) -> float:
            if step < warm_up:
                return (step + 1) / warm_up
            return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))

        self._scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._scheduler.get_last_lr()[0])

    def step(self, loss: torch.Tensor) -> None:
        """Change the weights to lessen `loss`."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, _MOST_NORM)
        self._optimizer.step()
        self._scheduler.step()
