"""From a job and its images to a trained network: build it, run the loop, describe the result."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

from calotype import errors
from calotype.images.decode import decode
from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Preprocessor
from calotype.models import architectures, pretrained
from calotype.models.export import check_exportable
from calotype.models.image_model import Architecture, ModelDescription
from calotype.progress import Progress
from calotype.training.augmentation import Augmentation
from calotype.training.batches import LabeledImages
from calotype.training.checkpoints import Checkpoints
from calotype.training.group import ALONE, Group
from calotype.training.job import Job
from calotype.training.outcome import Listeners, Outcome
from calotype.training.pixel_cache import PixelCache
from calotype.training.plan import Plan, plan_for
from calotype.training.run import Run

_SAMPLES = 3


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained network, and what belongs into its model folder besides.

    Attributes:
        network: with the weights of the epoch that is kept.
        description: the content of `model.json`.
        samples: a few image files of the training set.
        outcome: what every epoch has come to.
    """

    network: nn.Module
    description: ModelDescription
    samples: list[bytes]
    outcome: Outcome


def fit_job(
    job: Job,
    training: ImageDirectory,
    validation: ImageDirectory,
    *,
    group: Group = ALONE,
    checkpoints: Checkpoints | None = None,
    listeners: Listeners,
) -> Fitted:
    """Train a network; see `calotype.training.train` for the errors.

    Args:
        job: what to train.
        training: labelled images.
        validation: labelled images of the same categories.
        group: the processes that train together.
        checkpoints: where the state of the run is kept.
        listeners: who is told what.
    """
    preprocessing, classes = job.preprocessing, training.categories
    # Before the network is built: its random weights are part of what the seed decides.
    torch.manual_seed(job.parameters.random_seed % 2**64)
    network, plan = _build(job, classes=len(classes))
    augmentation = Augmentation(job.transformation, preprocessing)
    run = Run(
        network,
        heads=architectures.head_names(network, job.architecture),
        plan=plan,
        augmentation=augmentation,
        parameters=job.parameters,
        group=group,
        checkpoints=checkpoints,
        listeners=listeners,
    )
    images = functools.partial(LabeledImages.of, classes=classes)
    images = functools.partial(images, preprocessor=Preprocessor(preprocessing))
    folder = checkpoints.folder if checkpoints is not None else None
    # Each process has its own; what validation leaves of the space is the training images'.
    limit_mb = job.parameters.cache_mb // group.size
    cache = functools.partial(PixelCache, folder=folder)
    with (
        training.reader() as training_reader,
        validation.reader() as validation_reader,
        ThreadPoolExecutor(torch.get_num_threads()) as pool,
    ):
        checks = functools.partial(cache, limit_mb=limit_mb)
        check = images(validation, reader=validation_reader, cache=checks)
        learns = functools.partial(cache, limit_mb=limit_mb - check.cache.size_mb)
        learn = images(training, reader=training_reader, preparation=augmentation, cache=learns)
        with learn.cache, check.cache:
            samples = _samples(learn)
            outcome = run.fit(learn, check, pool)
    unreadable = [path for images in (learn, check) for path in _unreadable(images, group)]
    _warn_unreadable(unreadable, listeners.progress)
    description = ModelDescription(
        architecture=Architecture(name=job.architecture, arguments=job.arguments),
        classes=tuple(classes),
        input_size=preprocessing.input_size,
        preprocessing=preprocessing,
        metrics=_metrics(outcome),
        training={
            **job.parameters.model_dump(),
            "learning_rate": outcome.learning_rate,
            "plan": asdict(plan),
            "processes": group.size,
            "pretrained": job.weights.name if job.weights else None,
            "transformation": job.transformation.model_dump(),
            "unreadable_images": len(unreadable),
            "stopped": outcome.stopped,
            "epoch_metrics": [asdict(metrics) for metrics in outcome.epochs],
        },
        data_fingerprint=training.info.fingerprint,
        versions={"torch": str(torch.__version__)},
    )
    return Fitted(network, description, samples, outcome)


def _build(job: Job, *, classes: int) -> tuple[nn.Module, Plan]:
    """Build the network and find out before the training what would fail after it."""
    name, size = job.architecture, job.preprocessing.input_size
    network = architectures.build(name, classes=classes, arguments=job.arguments)
    plan = plan_for(job.parameters, network, is_fine_tuning=job.weights is not None)
    if job.weights is not None:
        pretrained.load_into(network, name, job.weights, keep_head=False)
        if plan.zeroes_head:
            _zero_heads(network, name)
    architectures.check_fit(
        network, name, classes=classes, input_size=size, images=job.parameters.batch_size
    )
    if not architectures.is_documented(name):  # the documented ones are known to export
        check_exportable(network, input_size=size)
    return network, plan


def _zero_heads(network: nn.Module, name: str) -> None:
    """Let every class start equally probable.

    Random heads on features that mean something already are confidently wrong at first; unlearning
    that took a third of the first epoch.
    """
    heads = tuple(f"{head}." for head in architectures.head_names(network, name))
    for parameter_name, parameter in network.named_parameters():
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


def _unreadable(images: LabeledImages, group: Group) -> list[str]:
    """Return the paths of images that no process could read."""
    if group.is_alone:
        return sorted(images.unreadable)
    seen = group.sum([float(entry.path in images.unreadable) for entry in images.entries])
    return sorted(entry.path for entry, times in zip(images.entries, seen, strict=True) if times)


def _warn_unreadable(paths: list[str], progress: Progress) -> None:
    if paths:
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        progress.say(f"warning: not readable, left out: {', '.join(paths[:3])}{more}")


def _metrics(outcome: Outcome) -> dict[str, float]:
    kept = outcome.kept
    return {
        "validation_loss": kept.validation_loss,
        "top_1_accuracy": kept.top_1_accuracy,
        "top_5_accuracy": kept.top_5_accuracy,
        "best_epoch": kept.epoch,
    }
