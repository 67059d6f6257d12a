"""What can be chosen for a training run. Needs no torch, so that forms and lists can show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from calotype.models.pretrained import Pretrained
from calotype.parameters import Parameters

Recipe = Literal["default", "classic"]
Optimizer = Literal["auto", "sgd", "adamw"]
Schedule = Literal["auto", "cosine", "polynomial", "constant"]
Balance = Literal["none", "loss", "sampling"]
Unfreeze = Literal["auto", "all", "head_first", "gradual"]
TrainingPrecision = Literal["auto", "fp32", "bf16"]


def _ours(default: Any, *, description: str, **bounds: float) -> Any:
    """Declare a parameter that the retired module did not have."""
    return Field(default=default, description=f"{description} (Not in the original.)", **bounds)  # pyright: ignore[reportArgumentType, reportCallIssue]


class TrainingParameters(Parameters):
    """The documented parameters of Train PyTorch Model, and what they leave open.

    `calotype.training.plan` decides what is None or "auto", by the recipe and the network.
    """

    epochs: int = Field(default=5, gt=0, description="How often every image is seen.")
    batch_size: int = Field(default=16, gt=0, description="Images per step.")
    learning_rate: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(
        default=0.001,
        description="Highest rate of the optimiser; auto tries rising ones on the training images.",
    )
    random_seed: int = Field(default=1, ge=0, description="Same seed, same machine: same weights.")
    patience: int = Field(
        default=3, gt=0, description="Stop after so many epochs without a lower validation loss."
    )
    warmup_epochs: float | None = Field(
        default=None,
        ge=0,
        description="Epochs in which the rate rises. Default: a tenth of the run.",
    )
    print_frequency: int = Field(
        default=10, gt=0, description="Batches between two updates of the figures shown."
    )
    recipe: Recipe = _ours(
        default="default",
        description="classic repeats the retired module: SGD, normalisation by 0.5, augmentation "
        "drawn once, the last epoch kept.",
    )
    optimizer: Optimizer = _ours(
        default="auto", description="auto: AdamW from pretrained weights, SGD with Nesterov else."
    )
    schedule: Schedule = _ours(
        default="auto", description="How the rate falls after the warm-up. auto: cosine."
    )
    label_smoothing: float | None = _ours(
        default=None, ge=0, lt=1, description="Share of each label spread over all categories."
    )
    balance: Balance = _ours(
        default="none",
        description="For unequal categories: weigh the loss, or draw rare images more often.",
    )
    mixup: float = _ours(
        default=0.0, ge=0, le=10, description="Blend pairs of images; 0.2 is usual, 0 is off."
    )
    unfreeze: Unfreeze = _ours(
        default="auto",
        description="Which layers learn at first: all, the head alone for one epoch, or one group "
        "of layers after the other.",
    )
    ema: float | None = _ours(
        default=None,
        ge=0,
        lt=1,
        description="Decay of the moving average of the weights that is kept; 0 is off.",
    )
    precision: TrainingPrecision = _ours(
        default="auto",
        description="auto: mixed bf16 where the hardware has it and the network gains by it.",
    )
    accumulate: int = _ours(
        default=1, gt=0, description="Batches whose gradients are added up for one step."
    )
    max_minutes: float | None = _ours(
        default=None, gt=0, description="Time budget; the rate falls to zero within it."
    )
    cache_mb: int = _ours(
        default=4096,
        ge=0,
        description="Disk space for decoded images, so that later epochs need not decode.",
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
