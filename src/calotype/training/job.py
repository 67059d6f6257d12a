"""A training run as a value: everything that its weights depend on but the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from calotype import errors, files
from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Channels, Preprocessing
from calotype.images.transformation import Transformation
from calotype.models import architectures, pretrained
from calotype.progress import Progress
from calotype.training.parameters import Network, TrainingParameters

_HALF: Channels = (0.5, 0.5, 0.5)  # the classic recipe's mean and std, whatever the weights expect


class Job(BaseModel):
    """The network, where its weights come from, and how it is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    weights: Path | None = None
    """Where training starts; None: random weights."""
    transformation: Transformation
    parameters: TrainingParameters

    @classmethod
    def of(
        cls,
        network: Network,
        training: ImageDirectory,
        validation: ImageDirectory,
        *,
        transformation: Transformation | None,
        parameters: TrainingParameters,
        progress: Progress,
    ) -> Job:
        """Check what a run is to be made of, and settle what was left open.

        Raises:
            NotLabeled, InvalidDataset, TrainingDataUnusable: the images do not do.
            NotLessOrEqual: the batch is larger than the training set.
            UnparsableValue, WeightsNotFound: the network or its weights are not there.
        """
        _check_sets(training, validation, parameters)
        architectures.check_name(network.architecture)
        return cls(
            architecture=network.architecture,
            arguments=network.arguments,
            weights=_find_weights(network, progress),
            transformation=_choose_transformation(transformation, training, validation, progress),
            parameters=parameters,
        )

    @property
    def preprocessing(self) -> Preprocessing:
        """What the model will do to every image."""
        normalization = architectures.normalization_of(self.architecture)
        mean, std = normalization.mean, normalization.std
        if self.parameters.recipe == "classic":
            mean = std = _HALF
        return Preprocessing.of_transformation(self.transformation, mean=mean, std=std)

    def identity(self, training: ImageDirectory, validation: ImageDirectory) -> dict[str, Any]:
        """Return what two runs with the same weights in the end have in common."""
        import torch

        weights = files.sha256(self.weights) if self.weights else None
        return {
            **self.model_dump(mode="json", exclude={"weights", "parameters"}),
            **self.parameters.model_dump(mode="json", exclude={"print_frequency", "cache_mb"}),
            "pretrained": weights,
            "training images": training.info.fingerprint,
            "validation images": validation.info.fingerprint,
            "torch": str(torch.__version__),
        }


def _check_sets(
    training: ImageDirectory, validation: ImageDirectory, parameters: TrainingParameters
) -> None:
    for name, directory in (("training", training), ("validation", validation)):
        if not directory.is_labeled:
            raise errors.NotLabeled(
                "expected images with categories",
                where=f"{name} images {directory.path or ''}".strip(),
                got="images without",
                action="Put the images of each category into a folder of its own and convert.",
            )
    unknown = sorted(set(validation.categories) - set(training.categories))
    if unknown:
        raise errors.InvalidDataset(
            "expected the categories of the training images",
            where="validation images",
            got=f"another one: '{unknown[0]}'",
            action="Split one image directory in two with 'calotype split'.",
        )
    if len(training.categories) < 2:
        raise errors.TrainingDataUnusable(
            "expected at least two categories",
            where="training images",
            got="one",
            action="Add images of what is to be told apart.",
        )
    images = sum(training.info.counts.categories.values())
    if parameters.batch_size > images:
        raise errors.NotLessOrEqual(
            f"must be at most {images}, the number of training images",
            where="parameter 'batch_size'",
            got=str(parameters.batch_size),
        )


def _find_weights(network: Network, progress: Progress) -> Path | None:
    weights = pretrained.find(network.architecture, network.pretrained)
    if weights is None and network.pretrained == "auto":
        places = " or ".join(pretrained.usual_places(network.architecture))
        progress.say(
            f"no pretrained weights for {network.architecture} in {places}: "
            "training from random ones"
        )
    return weights


def _choose_transformation(
    given: Transformation | None,
    training: ImageDirectory,
    validation: ImageDirectory,
    progress: Progress,
) -> Transformation:
    wanted = given or _applied(training) or Transformation.of({})
    for name, directory in (("training", training), ("validation", validation)):
        applied = _applied(directory)
        if applied is not None and not applied.same_for_inference(wanted):
            progress.say(
                f"warning: another transformation was applied to the {name} images; "
                "the model's own is used instead"
            )
    return wanted


def _applied(directory: ImageDirectory) -> Transformation | None:
    if directory.pending is None:
        return None
    applied = directory.pending.transformation
    return applied if directory.pending.mode == "training" else applied.deterministic()
