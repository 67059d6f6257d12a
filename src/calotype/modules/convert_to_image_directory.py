"""Convert to Image Directory: a folder or an archive of images in, an image directory out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from calotype.modules.module import Context, Module, NoParameters, Port, PortType
from calotype.modules.registry import register


@register
class ConvertToImageDirectory(Module[NoParameters]):
    """A list of the images is made; they stay where they are, and are not copied."""

    name = "Convert to Image Directory"
    category = "Computer Vision / Image Data Transformation"
    summary = "List the images of a folder or archive; the names of folders become categories."
    inputs = (
        Port(
            "Input dataset",
            (PortType.ANY_DIRECTORY, PortType.ZIP_FILE),
            help="A folder with a sub-folder for each category, a flat folder of images without "
            "labels, or an archive of either (.zip, .tar, .gz, .bz2).",
        ),
    )
    outputs = (
        Port(
            "Output image directory",
            (PortType.IMAGE_DIRECTORY,),
            help="The images with their categories, and a list of the files that were left out.",
        ),
    )
    Parameters = NoParameters

    def run(
        self,
        inputs: Mapping[str, Path],
        outputs: Mapping[str, Path],
        parameters: NoParameters,
        context: Context,
    ) -> None:
        """Convert."""
        from calotype.images.convert import convert

        convert(
            inputs["input_dataset"], outputs["output_image_directory"], progress=context.progress
        )
