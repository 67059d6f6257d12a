"""Init Image Transformation: 21 parameters in, an image transformation out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from calotype.images.transformation import Transformation
from calotype.modules.module import Context, Module, Port, PortType
from calotype.modules.registry import register


@register
class InitImageTransformation(Module[Transformation]):
    """The parameters are stored; nothing is transformed."""

    name = "Init Image Transformation"
    category = "Computer Vision / Image Data Transformation"
    summary = "Choose what is done to images before the network sees them; nothing runs yet."
    outputs = (
        Port(
            "Output image transformation",
            (PortType.TRANSFORMATION_DIRECTORY,),
            help="The chosen steps, for Apply Image Transformation.",
        ),
    )
    Parameters = Transformation

    def run(
        self,
        inputs: Mapping[str, Path],
        outputs: Mapping[str, Path],
        parameters: Transformation,
        context: Context,
    ) -> None:
        """Store the parameters."""
        parameters.save(outputs["output_image_transformation"])
