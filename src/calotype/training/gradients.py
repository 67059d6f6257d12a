"""The gradients of one batch, whoever computes it together."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from calotype import errors
from calotype.training.batches import Batch, is_whole
from calotype.training.group import Group
from calotype.training.objective import Blend, Objective
from calotype.training.plan import Plan


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch has come to, in all processes together.

    Attributes:
        images: how many there were.
        loss_sum: the sum of their losses.
        wrong: how many got another label than theirs.
    """

    images: int
    loss_sum: float
    wrong: int


class Gradients:
    """Computes the gradients of batches; those of several batches add up until they are used.

    Args:
        objective: the loss.
        plan: mixup and precision.
        group: the processes that share each batch.
        device: where the network is.
    """

    def __init__(
        self, objective: Objective, plan: Plan, group: Group, device: torch.device
    ) -> None:
        self._objective = objective
        self._plan = plan
        self._group = group
        self._device = device

    def of(
        self, network: nn.Module, batch: Batch, *, seed: tuple[int, ...], exchange: bool = True
    ) -> BatchResult:
        """Go forth and back through the network.

        Args:
            network: as `Group.wrap` gives it.
            batch: this process's images of a batch.
            seed: of all that is drawn for it.
            exchange: average the gradients over the processes now; at the end of each step.

        Raises:
            TrainingDataUnusable: the loss is not finite (0083).
        """
        # Anew for every batch: what dropout draws must not depend on what was run before.
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        inputs, targets = on_device(batch, self._device)
        own = len(targets) if self._is_counted(batch) else 0
        (images,) = self._group.sum([own])
        if not len(targets):  # the other processes wait for this one, which has nothing to add
            inputs = torch.zeros((2, *inputs.shape[1:]), device=self._device)
            targets = torch.zeros(2, dtype=torch.int64, device=self._device)
        blend = Blend.draw(len(targets), self._plan.mixup, seed) if self._plan.mixup else None
        # Gradients are averaged over the processes: as if each had as many images as all.
        share = self._group.size / max(images, 1.0) if own else 0.0
        # Whether they are exchanged is decided on the way forth already.
        with contextlib.nullcontext() if exchange else self._group.without_exchange(network):
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._plan.is_bf16):
                logits = network(blend.of(inputs) if blend else inputs)
            loss = self._objective(logits, targets, blend)
            (loss * share).backward()
        wrong = int((logits.argmax(1) != targets).sum())
        sums = self._group.sum([loss.item(), wrong] if own else [0.0, 0])
        return BatchResult(int(images), finite(sums[0], "training"), int(sums[1]))

    def _is_counted(self, batch: Batch) -> bool:
        """Whether this process answers for its images: a batch that all have counts once."""
        is_shared = self._group.is_alone or not is_whole(batch.size, self._group.size)
        return is_shared or self._group.rank == 0


def on_device(batch: Batch, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs and targets where the network is, in the layout that is fastest there."""
    inputs = batch.inputs.to(device, memory_format=torch.channels_last)
    return inputs, batch.targets.to(device)


def finite(loss: float, where: str) -> float:
    """Return the loss.

    Raises:
        TrainingDataUnusable: it is not finite (0083).
    """
    if not math.isfinite(loss):
        raise errors.TrainingDataUnusable(
            "expected a finite loss",
            where=where,
            got=str(loss),
            action="Choose a lower learning rate.",
        )
    return loss
