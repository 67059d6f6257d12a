"""Split Image Directory: one image directory in, two out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from calotype.modules.module import Context, Module, Port, PortType
from calotype.modules.registry import register
from calotype.parameters import Parameters


class SplitParameters(Parameters):
    """The documented fraction, and two parameters of ours."""

    fraction: float = Field(
        default=0.9,
        gt=0,
        lt=1,
        title="Fraction of images in the first output",
        description="The rest goes to the second output.",
    )
    random_seed: int = Field(
        default=0, ge=0, description="Same seed, same images on each side. (Not in the original.)"
    )
    stratify: bool = Field(
        default=True,
        description="Split each category by the same fraction, as far as its images allow. "
        "(Not in the original.)",
    )


@register
class SplitImageDirectory(Module[SplitParameters]):
    """Both outputs refer to the same images as the input; none is copied."""

    name = "Split Image Directory"
    category = "Computer Vision / Image Data Transformation"
    summary = "Divide the images at random between two outputs, such as training and validation."
    inputs = (
        Port("Input image directory", (PortType.IMAGE_DIRECTORY,), help="The images to divide."),
    )
    outputs = (
        Port(
            "Output image directory1",
            (PortType.IMAGE_DIRECTORY,),
            help="The given fraction of the images.",
        ),
        Port("Output image directory2", (PortType.IMAGE_DIRECTORY,), help="All other images."),
    )
    Parameters = SplitParameters

    def run(
        self,
        inputs: Mapping[str, Path],
        outputs: Mapping[str, Path],
        parameters: SplitParameters,
        context: Context,
    ) -> None:
        """Split."""
        from calotype.images.image_directory import ImageDirectory
        from calotype.images.split import split

        source = inputs["input_image_directory"]
        with ImageDirectory.open(source, progress=context.progress) as images:
            split(
                images,
                outputs["output_image_directory1"],
                outputs["output_image_directory2"],
                fraction=parameters.fraction,
                seed=parameters.random_seed,
                stratify=parameters.stratify,
                progress=context.progress,
            )
