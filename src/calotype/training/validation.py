"""How good a network is on images that it does not learn from, seen as the Scorer sees them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import nn

from calotype import errors
from calotype.training.batches import LabeledImages
from calotype.training.gradients import finite, on_device
from calotype.training.group import ALONE, Group

_TOP = 5


@dataclass(frozen=True, slots=True)
class Validation:
    """The mean loss, and the shares of images whose label is the first or among the first five."""

    loss: float
    top_1_accuracy: float
    top_5_accuracy: float


@torch.inference_mode()
def validate(
    network: nn.Module,
    images: LabeledImages,
    pool: ThreadPoolExecutor,
    *,
    batch_size: int,
    device: torch.device,
    group: Group = ALONE,
) -> Validation:
    """Measure a network in fp32, each image once, shared out among the processes of a group.

    Raises:
        TrainingDataUnusable: no image can be read, or the loss is not finite (0083).
    """
    network.eval()
    loss_sum, hits_1, hits_5, count = 0.0, 0, 0, 0
    for batch in images.evaluation_batches(pool, size=batch_size, part=group.part):
        inputs, targets = on_device(batch, device)
        logits = network(inputs)
        best = logits.topk(min(_TOP, logits.shape[1]), dim=1).indices  # (images, 5)
        hits = best.eq(targets[:, None])
        loss_sum += nn.functional.cross_entropy(logits, targets, reduction="sum").item()
        hits_1 += int(hits[:, 0].sum())
        hits_5 += int(hits.sum())
        count += len(targets)
    loss_sum, total_1, total_5, total = group.sum([loss_sum, hits_1, hits_5, count])
    check_any(int(total), "validation")
    return Validation(finite(loss_sum, "validation") / total, total_1 / total, total_5 / total)


def check_any(images: int, where: str) -> None:
    """Check that there was something to look at.

    Raises:
        TrainingDataUnusable: there was not (0083).
    """
    if images == 0:
        raise errors.TrainingDataUnusable(
            "expected readable images",
            where=where,
            got="none that could be decoded",
            action="Convert the images again.",
        )
