"""DenseNet: a densely connected network to train.

Huang et al., Densely Connected Convolutional Networks (2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from calotype.modules.module import Context, Module, Port, PortType
from calotype.modules.registry import register
from calotype.parameters import Parameters


class DenseNetParameters(Parameters):
    """The documented parameters of DenseNet."""

    model_config = ConfigDict(protected_namespaces=())  # "model_name" is its documented name

    model_name: Literal["densenet121", "densenet161", "densenet169", "densenet201"] = Field(
        default="densenet201", description="Which network; densenet121 is the fastest."
    )
    pretrained: bool = Field(
        default=True,
        description="Start from ImageNet weights on this machine. Training stops with error 0162 "
        "when there are none; it never starts from random weights by itself.",
    )
    memory_efficient: bool = Field(
        default=False,
        description="Train with less memory and more time: recompute instead of keeping.",
    )


@register
class DenseNet(Module[DenseNetParameters]):
    """Nothing is built yet: the last layer is sized when the categories are known."""

    name = "DenseNet"
    category = "Computer Vision / Image Classification"
    summary = "Choose a dense network to train; its last layer fits itself to the categories."
    outputs = (
        Port(
            "Untrained model",
            (PortType.UNTRAINED_MODEL_DIRECTORY,),
            help="The network's definition, for Train PyTorch Model.",
        ),
    )
    Parameters = DenseNetParameters

    def run(
        self,
        inputs: Mapping[str, Path],
        outputs: Mapping[str, Path],
        parameters: DenseNetParameters,
        context: Context,
    ) -> None:
        """Store the definition."""
        from calotype.models.untrained_model import UntrainedModel

        UntrainedModel(
            architecture=parameters.model_name,
            arguments={"memory_efficient": parameters.memory_efficient},
            pretrained="auto" if parameters.pretrained else "none",
        ).save(outputs["untrained_model"])
