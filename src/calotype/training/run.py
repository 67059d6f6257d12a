"""The loop: epochs of training and validation, the best of which is kept."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from calotype import errors
from calotype.progress import Progress
from calotype.training.augmentation import Augmentation
from calotype.training.batches import Batch, LabeledImages
from calotype.training.parameters import TrainingParameters
from calotype.training.schedule import Schedule, optimizer_for

_TOP = 5


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """What one epoch has come to; accuracies and errors are shares, 0-1."""

    epoch: int
    learning_rate: float
    """Of the epoch's first step (of the head, when layers differ)."""
    train_loss: float
    train_error: float
    validation_loss: float
    top_1_accuracy: float
    top_5_accuracy: float
    train_images_per_s: float
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Best:
    """The epoch to keep, and the network's state after it."""

    metrics: EpochMetrics
    state: dict[str, Any]


class Run:
    """One training run.

    Args:
        network: what is trained, in place.
        heads: the names of its last layers.
        is_fine_tuning: it starts from pretrained weights: the head is trained first, then all.
        augmentation: makes the pictures to train on.
        parameters: epochs, batch size, learning rate, seed and patience.
        progress: is told about every batch and epoch.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        heads: tuple[str, ...],
        is_fine_tuning: bool,
        augmentation: Augmentation,
        parameters: TrainingParameters,
        progress: Progress,
    ) -> None:
        self.epochs: list[EpochMetrics] = []
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device).to(memory_format=torch.channels_last)
        self._heads = tuple(f"{name}." for name in heads)
        self._is_fine_tuning = is_fine_tuning
        self._augmentation = augmentation
        self._parameters = parameters
        self._progress = progress

    def fit(self, learn: LabeledImages, check: LabeledImages, pool: ThreadPoolExecutor) -> Best:
        """Train until the last epoch, or until patience is at its end.

        Args:
            learn: the images to learn from.
            check: the images to choose the best epoch by.
            pool: the threads that decode.

        Returns:
            The epoch with the lowest validation loss; the network has its weights.

        Raises:
            TrainingDataUnusable: no image can be read, or the loss is not finite (0083).
            OutOfMemory: a batch does not fit (0138).
        """
        parameters = self._parameters
        optimizer = optimizer_for(
            self._network, parameters.learning_rate, is_fine_tuning=self._is_fine_tuning
        )
        steps = learn.batch_count(parameters.batch_size) * parameters.epochs
        schedule = Schedule(optimizer, steps=steps)
        self._progress.begin("training", total=steps, unit="batches")
        try:
            with memory_errors():
                best = self._fit(learn, check, pool, schedule)
        finally:
            self._progress.end()
        self._network.load_state_dict(best.state)
        return best

    def _fit(
        self,
        learn: LabeledImages,
        check: LabeledImages,
        pool: ThreadPoolExecutor,
        schedule: Schedule,
    ) -> Best:
        best: Best | None = None
        for epoch in range(1, self._parameters.epochs + 1):
            self._freeze(
                but_heads=self._is_fine_tuning and epoch == 1 and self._parameters.epochs > 1
            )
            metrics = self._epoch(epoch, learn, check, pool, schedule)
            self.epochs.append(metrics)
            self._tell(metrics)
            if best is None or metrics.validation_loss < best.metrics.validation_loss:
                best = Best(metrics, copy.deepcopy(self._network.state_dict()))
            if epoch - best.metrics.epoch >= self._parameters.patience:
                self._progress.say(f"stopped early: epoch {best.metrics.epoch} stays the best")
                break
        if best is None:
            raise errors.OperationFailed("expected at least one epoch", where="training")
        return best

    def _freeze(self, *, but_heads: bool) -> None:
        """Train everything, or the heads alone.

        Batch norms go on adapting to the new images meanwhile: heads that were trained on the old
        statistics would have to start over when the rest is let loose.
        """
        self._network.train()
        for name, parameter in self._network.named_parameters():
            parameter.requires_grad_(not but_heads or name.startswith(self._heads))

    def _epoch(
        self,
        epoch: int,
        learn: LabeledImages,
        check: LabeledImages,
        pool: ThreadPoolExecutor,
        schedule: Schedule,
    ) -> EpochMetrics:
        started_s = time.monotonic()
        rate = schedule.rate
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
            learning_rate=rate,
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
            loss_sum += _finite(loss.item(), "training") * len(targets)
            schedule.step(loss)
            wrong += int((logits.argmax(1) != targets).sum())
            images += len(targets)
            self._progress.advance(note=f"loss {loss_sum / images:.3f}")
        _check_any(images, "training")
        return loss_sum / images, wrong / images, images

    @torch.inference_mode()
    def _validate(
        self, check: LabeledImages, pool: ThreadPoolExecutor
    ) -> tuple[float, float, float]:
        """Return the mean loss and the top-1 and top-5 accuracy."""
        self._network.eval()
        loss_sum, hits_1, hits_5, images = 0.0, 0, 0, 0
        for batch in check.evaluation_batches(pool, size=self._parameters.batch_size):
            inputs, targets = self._to_device(batch)
            logits = self._network(inputs)
            best = logits.topk(min(_TOP, logits.shape[1]), dim=1).indices  # (images, 5)
            hits = best.eq(targets[:, None])
            loss_sum += nn.functional.cross_entropy(logits, targets, reduction="sum").item()
            hits_1 += int(hits[:, 0].sum())
            hits_5 += int(hits.sum())
            images += len(targets)
        _check_any(images, "validation")
        return _finite(loss_sum, "validation") / images, hits_1 / images, hits_5 / images

    def _to_device(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = batch.inputs.to(self._device, memory_format=torch.channels_last)
        return inputs, batch.targets.to(self._device)

    def _tell(self, metrics: EpochMetrics) -> None:
        self._progress.say(
            f"epoch {metrics.epoch}: loss {metrics.train_loss:.3f}, validation loss "
            f"{metrics.validation_loss:.3f}, accuracy {metrics.top_1_accuracy:.2%}, "
            f"{metrics.train_images_per_s:.0f} images/s"
        )


def _finite(loss: float, where: str) -> float:
    if not math.isfinite(loss):
        raise errors.TrainingDataUnusable(
            "expected a finite loss",
            where=where,
            got=str(loss),
            action="Choose a lower --learning-rate.",
        )
    return loss


def _check_any(images: int, where: str) -> None:
    if images == 0:
        raise errors.TrainingDataUnusable(
            "expected readable images",
            where=where,
            got="none that could be decoded",
            action="Convert the images again.",
        )


@contextlib.contextmanager
def memory_errors() -> Generator[None]:
    """Turn the ways in which torch reports exhausted memory into our error (0138)."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "to allocate" not in str(error):
            raise
        raise errors.OutOfMemory(
            "expected memory for a batch",
            where="training",
            action="Choose a smaller --batch-size, smaller images or a smaller network.",
        ) from error
