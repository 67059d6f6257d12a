"""What the parameters of a run come to for one network: every open question answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from calotype import errors
from calotype.training.parameters import Balance, TrainingParameters

_WARM_UP = 0.1  # share of a run
_LABEL_SMOOTHING = 0.05
_AVERAGE_DECAY = 0.98  # of about 50 steps; less in the first ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The settled choices of a run.

    Attributes:
        optimizer: AdamW, or SGD with Nesterov momentum 0.9.
        weight_decay: of the optimiser.
        decays_all: biases and batch norms decay too, as in the classic recipe.
        most_norm: gradients of a larger norm are shortened to it (None: they are not).
        schedule: how the rate falls after the warm-up.
        warm_up: share of the run in which it rises, 0-1.
        label_smoothing: share of each label that is spread over all classes.
        balance: how unequal classes are made up for.
        mixup: both parameters of the beta distribution that pairs are blended by; 0 is off.
        unfreeze: which layers learn at first.
        average_decay: of the moving average of the weights; 0 is off.
        is_bf16: multiply in bf16, keep weights and sums in fp32.
        draws_once: augment as in the first epoch for ever.
        keeps_last: keep the last epoch instead of the best.
        zeroes_head: let every class start equally probable.
    """

    optimizer: Literal["sgd", "adamw"]
    weight_decay: float
    decays_all: bool = False
    most_norm: float | None = 5.0
    schedule: Literal["cosine", "polynomial", "constant"] = "cosine"
    warm_up: float = _WARM_UP
    label_smoothing: float = _LABEL_SMOOTHING
    balance: Balance = "none"
    mixup: float = 0.0
    unfreeze: Literal["all", "head_first", "gradual"] = "all"
    average_decay: float = 0.0
    is_bf16: bool = False
    draws_once: bool = False
    keeps_last: bool = False
    zeroes_head: bool = False


def plan_for(parameters: TrainingParameters, network: nn.Module, *, is_fine_tuning: bool) -> Plan:
    """Settle what the parameters leave open.

    Args:
        parameters: of the run.
        network: decides whether bf16 pays.
        is_fine_tuning: whether it starts from pretrained weights.

    Raises:
        OperationFailed: bf16 was asked for, and this machine does not have it (0039).
    """
    is_classic = parameters.recipe == "classic"
    optimizer = parameters.optimizer
    if optimizer == "auto":
        optimizer = "adamw" if is_fine_tuning and not is_classic else "sgd"
    schedule = parameters.schedule
    if schedule == "auto":
        schedule = "polynomial" if is_classic else "cosine"
    warm_up = _WARM_UP if parameters.warmup_epochs is None else _share(parameters)
    smoothing, average = parameters.label_smoothing, parameters.ema
    return Plan(
        optimizer=optimizer,
        weight_decay=0.05 if optimizer == "adamw" else 1e-4,
        decays_all=is_classic,
        most_norm=None if is_classic else 5.0,
        schedule=schedule,
        warm_up=0.0 if is_classic and parameters.warmup_epochs is None else warm_up,
        label_smoothing=_or(smoothing, 0.0 if is_classic else _LABEL_SMOOTHING),
        balance=parameters.balance,
        mixup=parameters.mixup,
        unfreeze="all" if parameters.unfreeze == "auto" else parameters.unfreeze,
        average_decay=_or(average, _AVERAGE_DECAY if is_fine_tuning and not is_classic else 0.0),
        is_bf16=_is_bf16(parameters, network, is_classic=is_classic),
        draws_once=is_classic,
        keeps_last=is_classic,
        zeroes_head=is_fine_tuning and not is_classic,
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _share(parameters: TrainingParameters) -> float:
    """Return the share of a run that warms up; as long as the run, it would never be done."""
    return min((parameters.warmup_epochs or 0.0) / parameters.epochs, 0.9)


def _is_bf16(parameters: TrainingParameters, network: nn.Module, *, is_classic: bool) -> bool:
    if parameters.precision == "fp32":
        return False
    if parameters.precision == "bf16":
        if not has_bf16():
            raise errors.OperationFailed(
                "expected a processor that computes in bf16",
                where="parameter 'precision'",
                got="one without",
                action="Use fp32.",
            )
        return True
    return has_bf16() and not is_classic and (torch.cuda.is_available() or _is_dense(network))


def has_bf16() -> bool:
    """Whether this machine multiplies in bf16 faster than in fp32."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _is_dense(network: nn.Module) -> bool:
    """Whether all convolutions mix channels.

    The gradients of depthwise ones take torch's slow path in bf16 on CPUs: EfficientNet-Lite0
    trained at 18 images/s instead of 48 (160 pixels), ResNet-18 at 40 instead of 24 (224 pixels).
    """
    convolutions = (layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    return all(layer.groups == 1 or layer.groups < layer.in_channels for layer in convolutions)
