"""Apply Image Transformation: attach a transformation to an image directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from calotype.images.transformation import Mode, Transformation
from calotype.modules.module import Context, Module, Port, PortType
from calotype.modules.registry import register
from calotype.parameters import Parameters

_MODES: Final[Mapping[str, Mode]] = {"For training": "training", "For inference": "inference"}


class ApplyParameters(Parameters):
    """The parameter of Apply Image Transformation; it has no default."""

    mode: Literal["For training", "For inference"] = Field(
        description="For training: every step, the random ones drawn anew for each image and "
        "epoch. For inference: resize, centre crop, pad and grayscale alone. The original kept "
        "colour jitter in inference; it is random, so it is left out here."
    )


@register
class ApplyImageTransformation(Module[ApplyParameters]):
    """No pixel is touched: the steps are carried out whenever an image is used."""

    name = "Apply Image Transformation"
    category = "Computer Vision / Image Data Transformation"
    summary = "Attach an image transformation to an image directory, for training or inference."
    inputs = (
        Port(
            "Input image transformation",
            (PortType.TRANSFORMATION_DIRECTORY,),
            help="What Init Image Transformation has made.",
        ),
        Port(
            "Input image directory",
            (PortType.IMAGE_DIRECTORY,),
            help="The images, with no transformation attached yet.",
        ),
    )
    outputs = (
        Port(
            "Output image directory",
            (PortType.IMAGE_DIRECTORY,),
            help="The same images; the steps are carried out when an image is used.",
        ),
    )
    Parameters = ApplyParameters

    def run(
        self,
        inputs: Mapping[str, Path],
        outputs: Mapping[str, Path],
        parameters: ApplyParameters,
        context: Context,
    ) -> None:
        """Attach the transformation."""
        from calotype.images.image_directory import ImageDirectory

        transformation = Transformation.load(inputs["input_image_transformation"])
        source = inputs["input_image_directory"]
        with ImageDirectory.open(source, progress=context.progress) as images:
            out = outputs["output_image_directory"]
            images.with_pending(transformation, _MODES[parameters.mode], out)
