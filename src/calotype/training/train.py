"""Train PyTorch Model: an architecture and two labelled image directories in, an image model out.

With pretrained weights the new head is trained first, for one epoch, and then the whole network at
a lower rate; without them everything is trained from the start. The epoch with the lowest
validation loss is the one that is kept.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from calotype import errors
from calotype.images.decode import decode
from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Preprocessing, Preprocessor
from calotype.images.transformation import Transformation
from calotype.models import architectures, image_model, pretrained
from calotype.models.export import check_exportable, export
from calotype.models.image_model import Architecture, ImageModel, ModelDescription
from calotype.progress import SILENCE, Progress
from calotype.training.augmentation import Augmentation
from calotype.training.batches import LabeledImages
from calotype.training.parameters import Network, TrainingParameters
from calotype.training.run import Best, Run

_SAMPLES = 3


def train(
    network: Network,
    training: ImageDirectory,
    validation: ImageDirectory,
    out: Path,
    *,
    transformation: Transformation | None = None,
    parameters: TrainingParameters | None = None,
    progress: Progress = SILENCE,
) -> ImageModel:
    """Train a network and save it as an image model.

    Args:
        network: what to train.
        training: labelled images.
        validation: labelled images of the same categories, for choosing the epoch to keep.
        out: the folder to write.
        transformation: what is done to the images; otherwise what was applied to `training`, or
            the documented defaults. Its deterministic part becomes part of the model.
        parameters: epochs, batch size, learning rate, seed and patience.
        progress: is told how far the work is, with the loss.

    Raises:
        NotLabeled: a directory has no categories (0024).
        InvalidDataset: validation has a category that training has not (0018).
        NotLessOrEqual: the batch is larger than the training set (0007).
        UnparsableValue: the network is unknown, or not one for images of this size (0002).
        WeightsNotFound: weights were given, and are not there (0162).
        TrainingDataUnusable: there is nothing to learn, or the loss is not finite (0083).
        OperationFailed: the network cannot be exported (0039).
        AlreadyExists: `out` holds something that is not a model (0057).
    """
    image_model.check_target(out)
    fitted = fit(
        network,
        training,
        validation,
        transformation=transformation,
        parameters=parameters or TrainingParameters(),
        progress=progress,
    )
    return export(
        fitted.network, fitted.description, out, samples=fitted.samples, progress=progress
    )


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained network, and what belongs into its model folder besides.

    Attributes:
        network: with the weights of its best epoch.
        description: the content of `model.json`.
        samples: a few image files of the training set.
    """

    network: nn.Module
    description: ModelDescription
    samples: list[bytes]


def fit(
    network: Network,
    training: ImageDirectory,
    validation: ImageDirectory,
    *,
    transformation: Transformation | None,
    parameters: TrainingParameters,
    progress: Progress = SILENCE,
) -> Fitted:
    """Train a network; see `train` for the arguments and errors."""
    _check_sets(training, validation, parameters)
    architectures.check_name(network.architecture)
    weights = _find_weights(network, progress)
    wanted = _choose_transformation(transformation, training, validation, progress)
    normalization = architectures.normalization_of(network.architecture)
    preprocessing = Preprocessing.of_transformation(
        wanted, mean=normalization.mean, std=normalization.std
    )
    # Before the network is built: its random weights are part of what the seed decides.
    torch.manual_seed(parameters.random_seed % 2**64)
    built = _build(network, weights, training.categories, preprocessing, parameters)
    run = Run(
        built,
        heads=architectures.head_names(built, network.architecture),
        is_fine_tuning=weights is not None,
        augmentation=Augmentation(wanted, preprocessing),
        parameters=parameters,
        progress=progress,
    )
    preprocessor = Preprocessor(preprocessing)
    with (
        training.reader() as training_reader,
        validation.reader() as validation_reader,
        ThreadPoolExecutor(torch.get_num_threads()) as pool,
    ):
        classes = training.categories
        learn = LabeledImages.of(
            training, classes, reader=training_reader, preprocessor=preprocessor
        )
        check = LabeledImages.of(
            validation, classes, reader=validation_reader, preprocessor=preprocessor
        )
        samples = _samples(learn)
        best = run.fit(learn, check, pool)
    unreadable = sorted(learn.unreadable) + sorted(check.unreadable)
    _warn_unreadable(unreadable, progress)
    description = ModelDescription(
        architecture=Architecture(name=network.architecture, arguments=network.arguments),
        classes=tuple(classes),
        input_size=preprocessing.input_size,
        preprocessing=preprocessing,
        metrics=_metrics(best),
        training={
            **parameters.model_dump(),
            "pretrained": weights.name if weights else None,
            "transformation": wanted.model_dump(),
            "unreadable_images": len(unreadable),
            "epoch_metrics": [asdict(metrics) for metrics in run.epochs],
        },
        data_fingerprint=training.info.fingerprint,
        versions={"torch": str(torch.__version__)},
    )
    return Fitted(built, description, samples)


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


def _build(
    network: Network,
    weights: Path | None,
    classes: list[str],
    preprocessing: Preprocessing,
    parameters: TrainingParameters,
) -> nn.Module:
    """Build the network and find out before the training what would fail after it."""
    name, size = network.architecture, preprocessing.input_size
    built = architectures.build(name, classes=len(classes), arguments=network.arguments)
    if weights is not None:
        pretrained.load_into(built, name, weights, keep_head=False)
        _zero_heads(built, name)
    architectures.check_fit(
        built, name, classes=len(classes), input_size=size, images=parameters.batch_size
    )
    if not architectures.is_documented(name):  # the documented ones are known to export
        check_exportable(built, input_size=size)
    return built


def _zero_heads(built: nn.Module, name: str) -> None:
    """Let every class start equally probable.

    Random heads on features that mean something already are confidently wrong at first; unlearning
    that took a third of the first epoch.
    """
    heads = architectures.head_names(built, name)
    for parameter_name, parameter in built.named_parameters():
        if parameter_name.startswith(heads):
            nn.init.zeros_(parameter)


def _samples(images: LabeledImages) -> list[bytes]:
    """Return one readable image file of each of the first few categories."""
    samples: list[bytes] = []
    for index in np.unique(images.targets, return_index=True)[1][:_SAMPLES]:
        try:
            data = images.file(int(index))
            decode(data)
        except errors.FileError:
            continue  # training will count it
        samples.append(data)
    return samples


def _warn_unreadable(paths: list[str], progress: Progress) -> None:
    if paths:
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        progress.say(f"warning: not readable, left out: {', '.join(paths[:3])}{more}")


def _metrics(best: Best) -> dict[str, float]:
    return {
        "validation_loss": best.metrics.validation_loss,
        "top_1_accuracy": best.metrics.top_1_accuracy,
        "top_5_accuracy": best.metrics.top_5_accuracy,
        "best_epoch": best.metrics.epoch,
    }
