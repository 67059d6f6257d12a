"""What can be chosen for a training run. Needs no torch, so that forms and lists can show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from calotype.models.pretrained import Pretrained
from calotype.parameters import Parameters


class TrainingParameters(Parameters):
    """The documented parameters of Train PyTorch Model."""

    epochs: int = Field(default=5, gt=0, description="How often every image is seen.")
    batch_size: int = Field(default=16, gt=0, description="Images per step.")
    learning_rate: float = Field(default=0.001, gt=0, description="Highest rate of the optimiser.")
    random_seed: int = Field(default=1, ge=0, description="Same seed, same machine: same weights.")
    patience: int = Field(
        default=3, gt=0, description="Stop after so many epochs without a lower validation loss."
    )


@dataclass(frozen=True, slots=True)
class Network:
    """Which network to train, and from which weights.

    Attributes:
        architecture: a documented ResNet or DenseNet, or any network of timm.
        arguments: options of the architecture.
        pretrained: where to find weights to start from.
    """

    architecture: str = "resnet18"
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    pretrained: Pretrained = "auto"
