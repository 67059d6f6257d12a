"""Trained model directories of the retired designer: a specification, a state dictionary, labels.

    _meta.yaml, model_spec.yaml   what the folder is, and which network
    model                         torch's state dictionary; read with weights only
    index_to_label.csv            the class names

Its pretrained networks kept their 1,000 outputs and got a second linear layer on top of them. Two
linear layers without anything in between are one: W2 (W1 x + b1) + b2 = (W2 W1) x + (W2 b1 + b2).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from calotype import errors
from calotype.models import architectures, foreign, pretrained
from calotype.models.image_model import check_classes

if TYPE_CHECKING:
    from torch import Tensor, nn

SPECIFICATION = "model_spec.yaml"
_INSIDE = "trained_model_outputs"  # where the designer put a model that it registered
_MOST_BYTES = 1 << 20  # a specification has one kilobyte
_OPTIONS = ("zero_init_residual", "memory_efficient")

Channels = tuple[float, float, float]
_HALF: Channels = (0.5, 0.5, 0.5)


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class _NetworkParameters(_Read):
    model_name: str
    pretrained: bool = False
    zero_init_residual: bool = False
    memory_efficient: bool = False
    num_classes: int | None = None


class _Extras(_Read):
    init_params: _NetworkParameters


class _NormalizerParameters(_Read):
    mean: Channels = _HALF
    std: Channels = _HALF


class _PreProcessor(_Read):
    init_params: _NormalizerParameters = _NormalizerParameters()


class _Input(_Read):
    pre_processor: _PreProcessor = _PreProcessor()


class _Specification(_Read):
    """What we use of `model_spec.yaml`."""

    model_file: str = "model"
    label_map_file: str
    flavor_extras: _Extras
    inputs: tuple[_Input, ...] = Field(default=(), max_length=1)

    @property
    def network(self) -> _NetworkParameters:
        return self.flavor_extras.init_params

    @property
    def normalization(self) -> architectures.Normalization:
        parameters = (*self.inputs, _Input())[0].pre_processor.init_params
        return architectures.Normalization(mean=parameters.mean, std=parameters.std)


@dataclass(frozen=True, slots=True)
class OriginalModel:
    """A trained model directory that was read.

    Attributes:
        network: with its weights, and one output per class.
        architecture: its name.
        arguments: the options that it was built with.
        classes: names in index order, as text whatever they look like.
        normalization: what was done to images on a scale of 0-1.
        file: the state dictionary.
    """

    network: nn.Module
    architecture: str
    arguments: dict[str, Any]
    classes: list[str]
    normalization: architectures.Normalization
    file: Path


def find(folder: Path) -> Path | None:
    """Return the folder with the specification: `folder`, or the usual one inside it."""
    places = (folder, folder / _INSIDE)
    return next((place for place in places if (place / SPECIFICATION).is_file()), None)


def read(folder: Path) -> OriginalModel:
    """Read a trained model directory; nothing in it is executed.

    Args:
        folder: what `find` found.

    Raises:
        InvalidModel: it holds something else than a trained ResNet or DenseNet (0159).
        CorruptModel: a file is missing or damaged, or the tensors are of another network (0082).
        UnparsableFile: the class names are not distinct (0049).
        MissingDependency: torch is not installed.
    """
    architectures.require_torch()
    specification = _specification(folder)
    parameters = specification.network
    name = parameters.model_name
    if name not in architectures.RESNETS and name not in architectures.DENSENETS:
        raise errors.InvalidModel(
            "expected one of the documented ResNets and DenseNets",
            where=str(folder / SPECIFICATION),
            got=f"'{name}'",
        )
    classes = _classes(_file(folder, specification.label_map_file))
    if parameters.num_classes not in (None, len(classes)):
        raise errors.InvalidModel(
            f"expected {parameters.num_classes} labels, as {SPECIFICATION} says",
            where=str(folder / specification.label_map_file),
            got=str(len(classes)),
        )
    option = _OPTIONS[0] if name in architectures.RESNETS else _OPTIONS[1]
    arguments = {option: getattr(parameters, option)}
    network = architectures.build(name, classes=len(classes), arguments=arguments)
    file = _file(folder, specification.model_file)
    state = plain_state(pretrained.read_state(file), network, name, file)
    pretrained.load_state(network, name, state, file, keep_head=True)
    return OriginalModel(network, name, arguments, classes, specification.normalization, file)


def _specification(folder: Path) -> _Specification:
    path = folder / SPECIFICATION
    document = _yaml(path)
    meta = folder / "_meta.yaml"
    kind = str(_yaml(meta).get("type", "ModelDirectory")) if meta.is_file() else "ModelDirectory"
    flavor: Any = document.get("flavor")
    is_pytorch = isinstance(flavor, dict) and flavor.get("name") == "pytorch"
    if "Model" not in kind or not is_pytorch or "label_map_file" not in document:
        raise foreign.not_a_model(folder)
    try:
        return _Specification.model_validate(document)
    except ValidationError as invalid:
        detail = invalid.errors()[0]
        place = ".".join(str(part) for part in detail["loc"])
        raise _corrupt(
            path, "the specification of a network", f"{place}: {detail['msg']}"
        ) from None


def _yaml(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise errors.MissingDependency(
            f"expected PyYAML to read {path.name}",
            got="none installed",
            action="Run: pip install 'calotype[train]'",
        ) from error
    try:
        with path.open("rb") as file:
            document = yaml.safe_load(file.read(_MOST_BYTES))
    except OSError as error:
        raise _corrupt(path, "a readable file", error.strerror or str(error)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: impossible dates
        raise _corrupt(path, "YAML text", str(error).partition("\n")[0]) from error
    if not isinstance(document, dict):
        raise _corrupt(path, "YAML text with names and values", type(document).__name__)
    return document


def _file(folder: Path, name: str) -> Path:
    """Return a file that the specification names: one of this folder, and no other."""
    if Path(name).name != name or not (folder / name).is_file():
        raise _corrupt(folder / SPECIFICATION, "the names of files beside it", f"'{name}'")
    return folder / name


def _classes(path: Path) -> list[str]:
    """Read the label map, `,label` and then `0,cat` and so on; 01, NA and true stay text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file, strict=True) if row]
        labels = {int(index): label for index, label in rows[1:]}
    except (OSError, ValueError, csv.Error) as error:
        raise _corrupt(path, "lines of an index and a label", str(error)) from error
    if not labels or len(labels) != len(rows) - 1 or sorted(labels) != list(range(len(labels))):
        raise _corrupt(path, "the indices 0, 1, 2 … once each", f"{sorted(labels)[:10]}")
    return check_classes([labels[index] for index in range(len(labels))], where=str(path))


def plain_state(
    state: dict[str, Tensor], network: nn.Module, architecture: str, file: Path
) -> dict[str, Tensor]:
    """Return a state dictionary under the network's own names, with one last layer.

    Args:
        state: as it was saved, perhaps from inside a wrapper, perhaps with a second linear layer
            after the last one.
        network: what it is to fit.
        architecture: its name.
        file: where it came from, for messages.

    Raises:
        CorruptModel: it has other tensors.
    """
    state = pretrained.rename(state, network)
    (head,) = architectures.head_names(network, architecture)
    own = network.state_dict()
    # Older versions of torch did not save the counters of batch norms.
    body = [name for name in own if not name.startswith(f"{head}.")]
    needed = [name for name in body if not name.endswith(".num_batches_tracked")]
    prefix = _prefix(state, needed, file)
    found = {name: state[prefix + name] for name in body if prefix + name in state}
    rest = {name: state[name] for name in state if name.removeprefix(prefix) not in found}
    weight, bias = _last_layer(rest, own[f"{head}.weight"].shape, file)
    return {**found, f"{head}.weight": weight, f"{head}.bias": bias}


def _prefix(state: dict[str, Tensor], needed: list[str], file: Path) -> str:
    """Return what stands before the names of the network, such as `model.` or `0.`."""
    first = needed[0]
    for name in state:
        prefix = name.removesuffix(first)
        is_prefix = name.endswith(first) and (not prefix or prefix.endswith("."))
        if is_prefix and all(prefix + one in state for one in needed):
            return prefix
    missing = next((one for one in needed if one not in state), first)
    got = f"{len(state)} others, such as '{next(iter(state))}'; '{missing}' is missing"
    raise _corrupt(file, f"the {len(needed)} tensors of the network", got)


def _last_layer(rest: dict[str, Tensor], shape: Any, file: Path) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the last layer, folded into one where there are two.

    Args:
        rest: all tensors that are not of the network's body.
        shape: (classes, features), what the weight must have in the end.
        file: where they came from, for messages.
    """
    import torch

    classes, features = shape
    by_inputs = {int(one.shape[1]): name for name, one in rest.items() if one.ndim == 2}
    left = set(rest)
    weight = torch.eye(features, dtype=torch.float64)
    bias = torch.zeros(features, dtype=torch.float64)
    while (name := by_inputs.pop(len(weight), None)) is not None:
        layer, of_layer = rest[name].double(), f"{name.removesuffix('weight')}bias"
        added = rest.get(of_layer, torch.zeros(len(layer))).double()
        if added.shape != (len(layer),):
            break
        left -= {name, of_layer}
        weight, bias = layer @ weight, layer @ bias + added
    if left or weight.shape != (classes, features):
        got = ", ".join(f"{name} {tuple(one.shape)}" for name, one in list(rest.items())[:4])
        raise _corrupt(file, f"linear layers from {features} features to {classes} classes", got)
    return weight.float(), bias.float()


def _corrupt(path: Path, expected: str, got: str) -> errors.CorruptModel:
    return errors.CorruptModel(
        f"expected {expected}",
        where=str(path),
        got=got or "nothing",
        action="Copy the model directory again from where it came.",
    )
