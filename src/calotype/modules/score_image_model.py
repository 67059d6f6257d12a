"""Score Image Model: a trained image model and images in, a scored dataset out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from calotype.modules.module import Context, Module, Port, PortType
from calotype.modules.registry import register
from calotype.parameters import Parameters


class ScoreParameters(Parameters):
    """The parameters of Score Image Model: the original has none, so each has a default."""

    schema_check: Literal["strict", "warn", "off"] = Field(
        default="warn",
        description="What to do when the images' categories are not those the model was trained "
        "on: stop, warn, or nothing. (Not in the original.)",
    )
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        default="auto",
        description="auto: the fastest that was measured to agree with fp32. (Not in the "
        "original.)",
    )
    on_error: Literal["skip", "fail"] = Field(
        default="skip",
        description="skip lists unreadable images with their reason; fail stops at the first. "
        "(Not in the original.)",
    )
    exact_decode: bool = Field(
        default=False,
        description="Decode large JPEGs at full size instead of the next size that is large "
        "enough. (Not in the original.)",
    )
    calibrated: bool = Field(
        default=True,
        description="Apply the temperature that was fitted on the validation images; labels stay "
        "the same. (Not in the original.)",
    )
    novelty: bool = Field(
        default=False,
        description="Add how unlike the validation images each image is, 0 to 1. (Not in the "
        "original.)",
    )


@register
class ScoreImageModel(Module[ScoreParameters]):
    """The preprocessing is the model's own; images need none beforehand."""

    name = "Score Image Model"
    category = "Computer Vision / Image Model Scoring"
    summary = "Predict the category of every image with a trained image model."
    inputs = (
        Port(
            "Trained model",
            (PortType.MODEL_DIRECTORY,),
            help="An image model, from Train PyTorch Model or imported.",
        ),
        Port(
            "Dataset",
            (PortType.IMAGE_DIRECTORY,),
            help="Images to score, labelled or not, with or without a transformation applied.",
        ),
    )
    outputs = (
        Port(
            "Scored dataset",
            (PortType.DATA_FRAME_DIRECTORY,),
            help="A row per image: id, path, category if known, the probability of each class, "
            "and the most probable class in 'Scored Labels'.",
        ),
    )
    Parameters = ScoreParameters

    def run(
        self,
        inputs: Mapping[str, Path],
        outputs: Mapping[str, Path],
        parameters: ScoreParameters,
        context: Context,
    ) -> None:
        """Score every image."""
        from calotype.scoring.score import score
        from calotype.scoring.scorer import Scorer

        scorer = Scorer(
            inputs["trained_model"],
            parameters.precision,
            exact_decode=parameters.exact_decode,
            calibrated=parameters.calibrated,
            novelty=parameters.novelty,
            progress=context.progress,
        )
        score(
            scorer,
            inputs["dataset"],
            outputs["scored_dataset"],
            schema_check=parameters.schema_check,
            on_error=parameters.on_error,
            progress=context.progress,
        )
