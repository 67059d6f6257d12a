"""What people write when they score a folder of images with torch: the peer in the benchmarks.

`python benchmarks/baseline.py MODEL FOLDER` scores a folder as a whole process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


def load_network(model: Path) -> nn.Module:
    """Load an image model's weights into the network of torchvision or timm."""
    description = json.loads((model / "model.json").read_text(encoding="utf-8"))
    name = description["architecture"]["name"]
    classes = len(description["classes"])
    if name == "efficientnet_lite0":
        import timm

        network = timm.create_model("tf_efficientnet_lite0", num_classes=classes)
    else:
        network = torchvision.models.get_model(name, weights=None, num_classes=classes)
    network.load_state_dict(load_file(model / "weights.safetensors"))
    return network.eval()


def transform_of(model: Path) -> transforms.Compose:
    """Return torchvision's transforms for an image model."""
    wanted = json.loads((model / "model.json").read_text(encoding="utf-8"))["preprocessing"]
    return transforms.Compose(
        [
            transforms.Resize(wanted["resize"]),
            transforms.CenterCrop(wanted["crop_height"]),
            transforms.ToTensor(),
            transforms.Normalize(wanted["mean"], wanted["std"]),
        ]
    )


class Photographs(Dataset[torch.Tensor]):
    """Image files as network inputs."""

    def __init__(self, paths: Sequence[Path], transform: transforms.Compose) -> None:
        self._paths = paths
        self._transform = transform

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self._paths[index]) as image:
            transformed: torch.Tensor = self._transform(image.convert("RGB"))  # pyright: ignore
            return transformed


@torch.no_grad()
def score_simply(
    network: nn.Module, transform: transforms.Compose, paths: Sequence[Path], *, batch: int
) -> torch.Tensor:
    """Open, transform, stack, infer: (a), with a batch of as many images as there are cores."""
    images = Photographs(paths, transform)
    scored: list[torch.Tensor] = []
    for at in range(0, len(paths), batch):
        stacked = torch.stack([images[i] for i in range(at, min(at + batch, len(paths)))])
        scored.append(torch.softmax(network(stacked), dim=1))
    return torch.cat(scored)


@torch.no_grad()
def score_with_loader(
    network: nn.Module, transform: transforms.Compose, paths: Sequence[Path], *, workers: int
) -> torch.Tensor:
    """The same with a DataLoader in front: (b)."""
    loader = DataLoader(Photographs(paths, transform), batch_size=32, num_workers=workers)
    batches: Iterator[torch.Tensor] = iter(loader)
    return torch.cat([torch.softmax(network(batch), dim=1) for batch in batches])


def main() -> None:
    """Score every JPEG of a folder and print the most common class."""
    model, folder = Path(sys.argv[1]), Path(sys.argv[2])
    paths = sorted(folder.glob("*.jpg"))
    network, transform = load_network(model), transform_of(model)
    scored = score_simply(network, transform, paths, batch=torch.get_num_threads())
    print(f"{len(scored)} images, most often class {int(scored.argmax(1).mode().values)}")


if __name__ == "__main__":
    main()
