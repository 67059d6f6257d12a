"""What training makes small: cross-entropy, with what was chosen for labels and categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from calotype.training.plan import Plan


@dataclass(frozen=True, slots=True)
class Blend:
    """How the images of a batch are blended with others of it (Zhang et al., mixup, 2018).

    Attributes:
        share: of the image itself, 0-1.
        partners: which image each is blended with.
    """

    share: float
    partners: torch.Tensor

    @classmethod
    def draw(cls, images: int, strength: float, seed: Sequence[int]) -> Blend:
        """Draw one share and one order for a batch.

        Args:
            images: in the batch.
            strength: both parameters of the beta distribution.
            seed: of this batch.
        """
        random = np.random.default_rng(seed)
        share = float(random.beta(strength, strength))
        return cls(share, torch.from_numpy(random.permutation(images)))

    def of(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the blended images."""
        return inputs * self.share + inputs[self.partners] * (1 - self.share)


class Objective:
    """The loss of a batch, summed over its images.

    Args:
        plan: label smoothing and balance.
        counts: training images of each class; with the balance "loss", each class has the same
            weight in the end, and the mean weight of an image is 1.
        device: where the logits are.
    """

    def __init__(self, plan: Plan, counts: Sequence[int], device: torch.device) -> None:
        self._smoothing = plan.label_smoothing
        self._weights = None
        if plan.balance == "loss":
            present = sum(1 for count in counts if count)
            weights = [sum(counts) / (present * count) if count else 0.0 for count in counts]
            self._weights = torch.tensor(weights, dtype=torch.float32, device=device)

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, blend: Blend | None = None
    ) -> torch.Tensor:
        """Return the sum of the losses of a batch.

        Args:
            logits: shape (images, classes).
            targets: class indices, shape (images,).
            blend: how its images were blended.
        """
        loss = self._loss(logits, targets)
        if blend is None:
            return loss
        other = self._loss(logits, targets[blend.partners])
        return loss * blend.share + other * (1 - blend.share)

    def _loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(
            logits.float(),
            targets,
            weight=self._weights,
            label_smoothing=self._smoothing,
            reduction="sum",
        )
