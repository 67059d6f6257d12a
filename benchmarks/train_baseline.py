"""What people write when they train on a folder of images with torch: the peer in train.py."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, RGB, scale 0-1

Item = tuple[torch.Tensor, int]


class LabeledPhotographs(Dataset[Item]):
    """The images of class folders with the indices of their classes."""

    def __init__(self, folder: Path, transform: transforms.Compose) -> None:
        self._transform = transform
        classes = sorted(one for one in folder.iterdir() if one.is_dir())
        self._images = [
            (path, index) for index, one in enumerate(classes) for path in sorted(one.iterdir())
        ]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Item:
        path, target = self._images[index]
        with Image.open(path) as image:
            transformed: torch.Tensor = self._transform(image.convert("RGB"))  # pyright: ignore
            return transformed, target


def transform_for(size: int, *, is_random: bool) -> transforms.Compose:
    """Return the customary transforms for training, or those that change no pixel."""
    random = [transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip()]
    fixed = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    return transforms.Compose([*random, *fixed] if is_random else fixed)


def make_network(name: str, classes: int) -> nn.Module:
    """Return a network of torchvision with random weights."""
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=classes)
    return network


def train(
    network: nn.Module,
    loader: DataLoader[Item],
    *,
    epochs: int,
    learning_rate: float,
    is_bf16: bool = False,
    most_norm: float | None = None,
) -> tuple[Sequence[float], Sequence[float]]:
    """Train; return the mean loss and the images per second of each epoch."""
    optimizer = torch.optim.SGD(
        network.parameters(), lr=learning_rate, momentum=0.9, nesterov=True, weight_decay=1e-4
    )
    losses: list[float] = []
    rates: list[float] = []
    network.train()
    for _ in range(epochs):
        started_s, loss_sum, images = time.perf_counter(), 0.0, 0
        for inputs, targets in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
                loss = nn.functional.cross_entropy(network(inputs), targets)
            loss.backward()
            if most_norm is not None:
                nn.utils.clip_grad_norm_(network.parameters(), most_norm)
            optimizer.step()
            loss_sum += loss.item() * len(targets)
            images += len(targets)
        losses.append(loss_sum / images)
        rates.append(images / (time.perf_counter() - started_s))
    return losses, rates
