"""Finding a learning rate by trying rising ones (Smith, Cyclical Learning Rates, 2017)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Final

from torch import nn

from calotype import errors
from calotype.training import optimization
from calotype.training.batches import Batch
from calotype.training.checkpoints import kept_state
from calotype.training.gradients import BatchResult
from calotype.training.plan import Plan

_STEPS: Final = 60
_LOWEST: Final = {"adamw": 1e-6, "sgd": 1e-5}
_HIGHEST: Final = {"adamw": 0.1, "sgd": 3.0}
_MEMORY: Final = 0.9  # of the loss that is looked at
_HOPELESS: Final = 3.0  # times the lowest loss
_SAFETY: Final = 5.0  # below the rate at which the loss stops falling

GradientsOf = Callable[[nn.Module, Batch], BatchResult]


class RateFinder:
    """Tries rates on a network, and leaves it as it was.

    Args:
        network: what will be trained.
        plan: its optimiser.
        gradients: computes the gradients of a batch.

    Attributes:
        steps: how many batches were tried.
    """

    def __init__(self, network: nn.Module, plan: Plan, gradients: GradientsOf) -> None:
        self.steps = 0
        self._network = network
        self._plan = plan
        self._gradients = gradients

    def find(self, epoch: Callable[[], Iterator[Batch]]) -> float:
        """Return a fifth of the rate at which the loss, smoothed, was lowest.

        Args:
            epoch: gives the batches of an epoch; again, when there are few.
        """
        before = kept_state(self._network)
        self._network.train()
        batches = itertools.chain.from_iterable(epoch() for _ in range(_STEPS))
        try:
            losses = list(self._losses(itertools.islice(batches, _STEPS)))
        finally:
            self._network.load_state_dict(before)
            self._network.zero_grad(set_to_none=True)  # those of an exploded loss would stay
        best = min(losses, key=lambda pair: pair[1], default=(0.005, 0.0))
        return best[0] / _SAFETY

    def _losses(self, batches: Iterator[Batch]) -> Iterator[tuple[float, float]]:
        """Yield each rate with the smoothed loss after it, until the loss explodes."""
        lowest, highest = _LOWEST[self._plan.optimizer], _HIGHEST[self._plan.optimizer]
        optimizer = optimization.optimizer_for(self._network, lowest, self._plan)
        smooth, least = 0.0, math.inf
        for step, batch in enumerate(batches):
            rate = lowest * (highest / lowest) ** (step / (_STEPS - 1))
            optimization.set_rate(optimizer, rate)
            try:
                result = self._gradients(self._network, batch)
            except errors.TrainingDataUnusable:  # no longer finite
                return
            optimization.step(optimizer, self._network, self._plan)
            smooth = _MEMORY * smooth + (1 - _MEMORY) * result.loss_sum / max(result.images, 1)
            loss = smooth / (1 - _MEMORY ** (step + 1))  # free of the zero it began with
            self.steps = step + 1
            if loss > _HOPELESS * least:
                return
            least = min(least, loss)
            yield rate, loss
