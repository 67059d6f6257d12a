"""Init and Apply Image Transformation: what is done to an image before a network sees it.

A transformation is a value with 21 parameters. Nothing runs when it is made or applied: training
draws the random steps anew for every image and epoch, and the deterministic steps become part of
the model (`calotype.images.preprocess`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from calotype import errors, files
from calotype.parameters import Parameters

Mode = Literal["training", "inference"]

FILE_NAME = "transformation.json"
_FORMAT_VERSION = 1

# Documented by nobody: the retired module switched colour jitter on without a strength, so it did
# nothing. These are the customary ones.
COLOR_JITTER_STRENGTH = 0.4


class Transformation(Parameters):
    """The steps of an image transformation, in the order in which they are applied.

    The defaults are the documented ones. Sizes are pixels, angles degrees. Inference keeps resize,
    centre crop, pad and grayscale; every other step is random and belongs to training alone.
    """

    resize: bool = Field(
        default=True, description="Scale the shorter side to `size`, keeping the aspect."
    )
    size: int = Field(default=256, ge=1, description="Shorter side after resizing, in pixels.")
    center_crop: bool = Field(default=True, description="Cut a square from the centre.")
    crop_size: int = Field(default=224, ge=1, description="Side of the centre crop, in pixels.")
    pad: bool = Field(default=False, description="Add black borders.")
    padding: int = Field(
        default=0, ge=0, description="Width of the border on every side, in pixels."
    )
    color_jitter: bool = Field(
        default=False,
        description="Change brightness, contrast and saturation at random by up to 40 %.",
    )
    grayscale: bool = Field(
        default=False, description="Convert to gray, kept in three equal channels."
    )
    random_resized_crop: bool = Field(
        default=False, description="Cut 8-100 % of the area at an aspect of 3/4-4/3 and resize it."
    )
    random_size: int = Field(
        default=256, ge=1, description="Side of the random resized crop, in pixels."
    )
    random_crop: bool = Field(default=False, description="Cut a square at a random place.")
    random_crop_size: int = Field(
        default=224, ge=1, description="Side of the random crop, in pixels."
    )
    random_horizontal_flip: bool = Field(default=True, description="Mirror half of the images.")
    random_vertical_flip: bool = Field(
        default=False, description="Turn half of the images upside down."
    )
    random_rotation: bool = Field(default=False, description="Rotate by a random angle.")
    random_rotation_degrees: int = Field(
        default=0, ge=0, le=180, description="Largest rotation to either side, in degrees."
    )
    random_affine: bool = Field(
        default=False, description="Random affine map that keeps the centre fixed."
    )
    random_affine_degrees: int = Field(
        default=0, ge=0, le=180, description="Largest rotation of the affine map, in degrees."
    )
    random_grayscale: bool = Field(
        default=False, description="Convert a tenth of the images to gray."
    )
    random_perspective: bool = Field(
        default=False, description="Distort half of the images in depth."
    )
    random_erasing: bool = Field(
        default=False, description="Blank a rectangle in half of the images."
    )

    def deterministic(self) -> Transformation:
        """Return the part that inference keeps: resize, centre crop, pad and grayscale."""
        kept = {"resize", "size", "center_crop", "crop_size", "pad", "padding", "grayscale"}
        random = {name: False for name, value in self if isinstance(value, bool)}
        return self.model_copy(update={k: v for k, v in random.items() if k not in kept})

    @property
    def has_random_steps(self) -> bool:
        """Whether two applications to the same image may differ."""
        return self != self.deterministic()

    def same_for_inference(self, other: Transformation) -> bool:
        """Whether both do the same to an image in inference mode, unused parameters aside."""
        return self._inference_key() == other._inference_key()

    def _inference_key(self) -> tuple[object, ...]:
        return (
            self.size if self.resize else None,
            self.crop_size if self.center_crop else None,
            self.padding if self.pad else 0,
            self.grayscale,
        )

    def save(self, folder: Path) -> None:
        """Write a transformation directory.

        Raises:
            AlreadyExists: `folder` holds something else than a transformation.
            CannotWrite: the folder cannot be written.
        """
        if folder.exists() and not (folder / FILE_NAME).exists():
            raise errors.AlreadyExists(
                "expected a new folder or an earlier transformation",
                where=str(folder),
                action="Choose another folder.",
            )
        document = {"format_version": _FORMAT_VERSION, "kind": "image", **self.model_dump()}
        files.write_json(folder / FILE_NAME, document)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a transformation directory, ours or the retired designer's.

        Raises:
            InvalidTransformation: the folder holds no image transformation.
            ParameterError: a stored parameter is out of range.
        """
        if (folder / FILE_NAME).is_file():
            values = files.read_json(folder / FILE_NAME)
            if isinstance(values, dict) and values.pop("kind", None) == "image":
                _check_version(values.pop("format_version", None), folder)
                return cls.of(values, where=str(folder / FILE_NAME))
        if (folder / "_transforms.json").is_file():
            listed = files.read_json(folder / "_transforms.json")
            return cls.of(_values_of_original(listed, folder), where=str(folder))
        raise errors.InvalidTransformation(
            "expected an image transformation",
            where=str(folder),
            got="no transformation.json of kind 'image'" if folder.exists() else "no such folder",
            action="Make one with 'calotype transformation init'; for tables use the general "
            "Apply Transformation module.",
        )


def _check_version(version: object, folder: Path) -> None:
    if version != _FORMAT_VERSION:
        raise errors.InvalidTransformation(
            f"expected format version {_FORMAT_VERSION}",
            where=str(folder / FILE_NAME),
            got=repr(version),
            action="Make it again with this version of Calotype.",
        )


# The retired designer's step: our switch and, if the step has one, our parameter.
_ORIGINAL_STEPS: dict[str, tuple[str, str | None]] = {
    "Resize": ("resize", "size"),
    "CenterCrop": ("center_crop", "crop_size"),
    "Pad": ("pad", "padding"),
    "ColorJitter": ("color_jitter", None),
    "Grayscale": ("grayscale", None),
    "RandomResizedCrop": ("random_resized_crop", "random_size"),
    "RandomCrop": ("random_crop", "random_crop_size"),
    "RandomHorizontalFlip": ("random_horizontal_flip", None),
    "RandomVerticalFlip": ("random_vertical_flip", None),
    "RandomRotation": ("random_rotation", "random_rotation_degrees"),
    "RandomAffine": ("random_affine", "random_affine_degrees"),
    "RandomGrayscale": ("random_grayscale", None),
    "RandomPerspective": ("random_perspective", None),
    "RandomErasing": ("random_erasing", None),
}


def _values_of_original(listed: Any, folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = {switch: False for switch, _ in _ORIGINAL_STEPS.values()}
    try:
        for step, argument in listed:
            switch, parameter = _ORIGINAL_STEPS[step]
            values[switch] = True
            if parameter is not None:
                values[parameter] = argument[0] if isinstance(argument, list) else argument
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise errors.InvalidTransformation(
            "expected a list of known image steps",
            where=str(folder / "_transforms.json"),
            got=f"{type(error).__name__} {error}",
            action="Make it again with 'calotype transformation init'.",
        ) from error
    return values
