"""ResNet and DenseNet: what they store for Train PyTorch Model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from calotype import modules
from calotype.models.architectures import DENSENETS, RESNETS
from calotype.models.untrained_model import UntrainedModel
from calotype.modules import Context
from calotype.parameters import describe


def stored(module: str, folder: Path, **values: Any) -> UntrainedModel:
    network = modules.find(module)
    modules.execute(network, {}, {"untrained_model": folder / "out"}, values, context=Context())
    return UntrainedModel.load(folder / "out")


@pytest.mark.parametrize(
    ("module", "network", "arguments"),
    [
        ("resnet", "resnext101_32x8d", {"zero_init_residual": False}),
        ("densenet", "densenet201", {"memory_efficient": False}),
    ],
)
def test_the_defaults_want_pretrained_weights(
    module: str, network: str, arguments: dict[str, bool], tmp_path: Path
) -> None:
    expected = UntrainedModel(architecture=network, arguments=arguments, pretrained="auto")
    assert stored(module, tmp_path) == expected


@pytest.mark.parametrize("module", ["resnet", "densenet"])
def test_random_weights_are_a_choice(module: str, tmp_path: Path) -> None:
    assert stored(module, tmp_path, pretrained=False).pretrained == "none"


def test_options_of_the_network_are_stored(tmp_path: Path) -> None:
    resnet = stored("resnet", tmp_path / "1", model_name="resnet50", zero_init_residual=True)
    densenet = stored("densenet", tmp_path / "2", memory_efficient=True)
    assert (resnet.architecture, resnet.arguments) == ("resnet50", {"zero_init_residual": True})
    assert densenet.arguments == {"memory_efficient": True}


@pytest.mark.parametrize(("module", "names"), [("resnet", RESNETS), ("densenet", DENSENETS)])
def test_every_documented_network_can_be_chosen(module: str, names: tuple[str, ...]) -> None:
    assert describe(modules.find(module).Parameters)["model_name"]["choices"] == list(names)
