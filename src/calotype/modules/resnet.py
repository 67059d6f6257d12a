"""ResNet: a residual network to train.

He et al., Deep Residual Learning for Image Recognition (2015), and its wider relatives: Xie et al.,
Aggregated Residual Transformations (2016), Zagoruyko and Komodakis, Wide Residual Networks (2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from calotype.modules.module import Context, Module, Port, PortType
from calotype.modules.registry import register
from calotype.parameters import Parameters


class ResNetParameters(Parameters):
    """The documented parameters of ResNet."""

    model_config = ConfigDict(protected_namespaces=())  # "model_name" is its documented name

    model_name: Literal[
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "wide_resnet50_2",
        "wide_resnet101_2",
    ] = Field(
        default="resnext101_32x8d", description="Which network; the first ones are the fastest."
    )
    pretrained: bool = Field(
        default=True,
        description="Start from ImageNet weights on this machine. Training stops with error 0162 "
        "when there are none; it never starts from random weights by itself.",
    )
    zero_init_residual: bool = Field(
        default=False,
        description="Start every residual branch at zero, so that each block begins as an "
        "identity; without effect on pretrained weights.",
    )


@register
class ResNet(Module[ResNetParameters]):
    """Nothing is built yet: the last layer is sized when the categories are known."""

    name = "ResNet"
    category = "Computer Vision / Image Classification"
    summary = "Choose a residual network to train; its last layer fits itself to the categories."
    outputs = (
        Port(
            "Untrained model",
            (PortType.UNTRAINED_MODEL_DIRECTORY,),
            help="The network's definition, for Train PyTorch Model.",
        ),
    )
    Parameters = ResNetParameters

    def run(
        self,
        inputs: Mapping[str, Path],
        outputs: Mapping[str, Path],
        parameters: ResNetParameters,
        context: Context,
    ) -> None:
        """Store the definition."""
        from calotype.models.untrained_model import UntrainedModel

        UntrainedModel(
            architecture=parameters.model_name,
            arguments={"zero_init_residual": parameters.zero_init_residual},
            pretrained="auto" if parameters.pretrained else "none",
        ).save(outputs["untrained_model"])
