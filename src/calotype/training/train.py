"""Train PyTorch Model: an architecture and two labelled image directories in, an image model out.

With pretrained weights the new head is trained first, for one epoch, and then the whole network at
a lower rate; without them everything is trained from the start. The epoch with the lowest
validation loss is the one that is kept.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import nn

from calotype import errors
from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Preprocessing, Preprocessor
from calotype.images.transformation import Transformation
from calotype.models import architectures, image_model, pretrained
from calotype.models.export import export
from calotype.models.image_model import Architecture, ImageModel, ModelDescription
from calotype.models.pretrained import Pretrained
from calotype.parameters import Parameters
from calotype.progress import SILENCE, Progress
from calotype.training.augmentation import Augmentation
from calotype.training.batches import Batch, LabeledImages
from calotype.training.schedule import Schedule, optimizer_for

_SAMPLES = 3


class TrainingParameters(Parameters):
    """The documented parameters of Train PyTorch Model."""

    epochs: int = Field(5, gt=0, description="How often every image is seen.")
    batch_size: int = Field(16, gt=0, description="Images per step.")
    learning_rate: float = Field(0.001, gt=0, description="Highest rate of the optimiser.")
    random_seed: int = Field(1, ge=0, description="Same seed, same machine: same weights.")
    patience: int = Field(
        3, gt=0, description="Stop after so many epochs without a lower validation loss."
    )


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """What one epoch has come to; accuracies and errors are shares, 0-1."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_error: float
    validation_loss: float
    top_1_accuracy: float
    top_5_accuracy: float
    train_images_per_s: float
    elapsed_s: float


@dataclass(slots=True)
class _Best:
    """The epoch to keep, so far."""

    metrics: EpochMetrics | None = None
    state: dict[str, Any] = field(default_factory=dict[str, Any])

    def offer(self, metrics: EpochMetrics, network: nn.Module) -> None:
        if self.metrics is None or metrics.validation_loss < self.metrics.validation_loss:
            self.metrics = metrics
            self.state = copy.deepcopy(network.state_dict())

    def epochs_without_progress(self, epoch: int) -> int:
        return epoch - self.metrics.epoch if self.metrics is not None else 0


@dataclass(frozen=True, slots=True)
class Network:
    """Which network to train, and from which weights.

    Attributes:
        architecture: a documented ResNet or DenseNet, or any network of timm.
        arguments: options of the architecture.
        pretrained: where to find weights to start from.
    """

    architecture: str = "resnet18"
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    pretrained: Pretrained = "auto"


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
        WeightsNotFound: weights were given, and are not there (0162).
        MissingDependency: torch is not installed (2001).
        AlreadyExists: `out` holds something that is not a model (0057).
    """
    parameters = parameters or TrainingParameters()
    image_model.check_target(out)
    _check_sets(training, validation, parameters)
    architectures.check_name(network.architecture)
    weights = pretrained.find(network.architecture, network.pretrained)
    wanted = transformation or _applied(training) or Transformation()
    run = _Run(network, weights, training.categories, wanted, parameters, progress)
    with (
        training.reader() as training_reader,
        validation.reader() as validation_reader,
        ThreadPoolExecutor(torch.get_num_threads()) as pool,
    ):
        learn = run.images_of(training, training_reader)
        check = run.images_of(validation, validation_reader)
        run.fit(learn, check, pool)
        run.warn_unreadable(learn, check)
        samples = [learn.file(index) for index in range(min(_SAMPLES, len(learn)))]
    return export(
        run.best_network(),
        run.describe(training.info.fingerprint),
        out,
        samples=samples,
        progress=progress,
    )


class _Run:
    """One training run: the network, its optimiser and what has been measured."""

    def __init__(
        self,
        network: Network,
        weights: Path | None,
        classes: list[str],
        transformation: Transformation,
        parameters: TrainingParameters,
        progress: Progress,
    ) -> None:
        self._wanted = network
        self._weights = weights
        self._classes = classes
        self._transformation = transformation
        self._parameters = parameters
        self._progress = progress
        self._epochs: list[EpochMetrics] = []
        self._best = _Best()
        self._unreadable = 0
        # Before the network is built: its random weights are part of what the seed decides.
        torch.manual_seed(parameters.random_seed)
        self._network = _build(network, weights, len(classes))
        normalization = architectures.normalization_of(network.architecture)
        self._preprocessing = Preprocessing.of_transformation(
            transformation, mean=normalization.mean, std=normalization.std
        )
        self._augmentation = Augmentation(transformation, self._preprocessing)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network.to(self._device, memory_format=torch.channels_last)

    def images_of(self, directory: ImageDirectory, reader: Any) -> LabeledImages:
        return LabeledImages.of(
            directory, self._classes, reader=reader, preprocessor=Preprocessor(self._preprocessing)
        )

    def fit(self, learn: LabeledImages, check: LabeledImages, pool: ThreadPoolExecutor) -> None:
        parameters = self._parameters
        is_fine_tuning = self._weights is not None
        head = architectures.head_name(self._network, self._wanted.architecture)
        optimizer = optimizer_for(self._network, head, parameters.learning_rate, is_fine_tuning)
        steps = learn.batch_count(parameters.batch_size)
        schedule = Schedule(optimizer, steps=steps * parameters.epochs)
        self._progress.begin("training", total=steps * parameters.epochs, unit="batches")
        try:
            for epoch in range(1, parameters.epochs + 1):
                head_only = is_fine_tuning and epoch == 1 and parameters.epochs > 1
                _freeze(self._network, head if head_only else None)
                metrics = self._epoch(epoch, learn, check, pool, schedule)
                self._epochs.append(metrics)
                self._best.offer(metrics, self._network)
                self._tell(metrics)
                if self._best.epochs_without_progress(epoch) >= parameters.patience:
                    self._progress.say(f"stopped early: epoch {epoch - parameters.patience} stays")
                    break
        finally:
            self._progress.end()

    def _epoch(
        self,
        epoch: int,
        learn: LabeledImages,
        check: LabeledImages,
        pool: ThreadPoolExecutor,
        schedule: Schedule,
    ) -> EpochMetrics:
        started_s = time.monotonic()
        batches = learn.training_batches(
            pool,
            self._augmentation,
            size=self._parameters.batch_size,
            seed=self._parameters.random_seed,
            epoch=epoch,
        )
        loss, wrong, images = self._learn(batches, schedule)
        trained_s = time.monotonic() - started_s
        validation_loss, top_1, top_5 = self._validate(check, pool)
        return EpochMetrics(
            epoch=epoch,
            learning_rate=schedule.rate,
            train_loss=loss,
            train_error=wrong,
            validation_loss=validation_loss,
            top_1_accuracy=top_1,
            top_5_accuracy=top_5,
            train_images_per_s=round(images / max(trained_s, 1e-9), 2),
            elapsed_s=round(time.monotonic() - started_s, 3),
        )

    def _learn(self, batches: Iterator[Batch], schedule: Schedule) -> tuple[float, float, int]:
        """Run one epoch; return the mean loss, the share of wrong labels and the images seen."""
        loss_sum, wrong, images = 0.0, 0, 0
        for batch in batches:
            inputs, targets = self._to_device(batch)
            logits = self._network(inputs)
            loss = nn.functional.cross_entropy(logits, targets)
            if not torch.isfinite(loss):
                raise errors.TrainingDataUnusable(
                    "expected a finite loss",
                    where="training",
                    got=f"{loss.item()} after {images} images",
                    action="Choose a lower --learning-rate.",
                )
            schedule.step(loss)
            loss_sum += loss.item() * len(targets)
            wrong += int((logits.argmax(1) != targets).sum())
            images += len(targets)
            self._progress.advance(note=f"loss {loss_sum / images:.3f}")
        if images == 0:
            raise errors.TrainingDataUnusable(
                "expected readable images", where="training", got="none that could be decoded"
            )
        return loss_sum / images, wrong / images, images

    @torch.inference_mode()
    def _validate(self, check: LabeledImages, pool: ThreadPoolExecutor) -> tuple[float, ...]:
        """Return the mean loss and the top-1 and top-5 accuracy."""
        self._network.eval()
        sums = torch.zeros(3, dtype=torch.float64)
        images = 0
        for batch in check.evaluation_batches(pool, size=self._parameters.batch_size):
            inputs, targets = self._to_device(batch)
            logits = self._network(inputs)
            ranked = logits.topk(min(5, len(self._classes)), dim=1).indices.eq(targets[:, None])
            loss = nn.functional.cross_entropy(logits, targets, reduction="sum")
            sums += torch.stack([loss, ranked[:, 0].sum(), ranked.any(1).sum()]).double().cpu()
            images += len(targets)
        if images == 0:
            raise errors.TrainingDataUnusable(
                "expected readable images", where="validation", got="none that could be decoded"
            )
        return tuple((sums / images).tolist())

    def _to_device(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = batch.inputs.to(self._device, memory_format=torch.channels_last)
        return inputs, batch.targets.to(self._device)

    def _tell(self, metrics: EpochMetrics) -> None:
        self._progress.say(
            f"epoch {metrics.epoch}: loss {metrics.train_loss:.3f}, validation loss "
            f"{metrics.validation_loss:.3f}, accuracy {metrics.top_1_accuracy:.2%}, "
            f"{metrics.train_images_per_s:.0f} images/s"
        )

    def warn_unreadable(self, *sets: LabeledImages) -> None:
        paths = sorted(path for images in sets for path in images.unreadable)
        self._unreadable = len(paths)
        if paths:
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            shown = ", ".join(paths[:3])
            self._progress.say(f"warning: not readable, left out: {shown}{more}")

    def best_network(self) -> nn.Module:
        self._network.load_state_dict(self._best.state)
        return self._network

    def describe(self, data_fingerprint: str) -> ModelDescription:
        best = self._best.metrics
        if best is None:
            raise errors.OperationFailed("expected at least one epoch", where="training")
        return ModelDescription(
            architecture=Architecture(
                name=self._wanted.architecture, arguments=self._wanted.arguments
            ),
            classes=tuple(self._classes),
            input_size=self._preprocessing.input_size,
            preprocessing=self._preprocessing,
            metrics={
                "validation_loss": best.validation_loss,
                "top_1_accuracy": best.top_1_accuracy,
                "top_5_accuracy": best.top_5_accuracy,
                "best_epoch": best.epoch,
            },
            training={
                **self._parameters.model_dump(),
                "pretrained": self._weights.name if self._weights else None,
                "transformation": self._transformation.model_dump(),
                "unreadable_images": self._unreadable,
                "epoch_metrics": [asdict(metrics) for metrics in self._epochs],
            },
            data_fingerprint=data_fingerprint,
            versions={"torch": torch.__version__},
        )


def _build(network: Network, weights: Path | None, classes: int) -> nn.Module:
    built = architectures.build(network.architecture, classes=classes, arguments=network.arguments)
    if weights is not None:
        pretrained.load_into(built, network.architecture, weights, keep_head=False)
    return built


def _freeze(network: nn.Module, head: str | None) -> None:
    """Train everything, or the layer `head` alone, the rest standing still as in scoring."""
    network.train(head is None)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(head is None or name.startswith(f"{head}."))


def _applied(training: ImageDirectory) -> Transformation | None:
    if training.pending is None:
        return None
    applied = training.pending.transformation
    return applied if training.pending.mode == "training" else applied.deterministic()


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
            "expected at least two categories", where="training images", got="one"
        )
    if parameters.batch_size > len(training):
        raise errors.NotLessOrEqual(
            f"must be at most {len(training)}, the number of training images",
            where="parameter 'batch_size'",
            got=str(parameters.batch_size),
        )
