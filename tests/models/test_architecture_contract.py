"""From weights to a score: what every architecture has to do, each exported once.

Images are small and classes few; deep networks still take many seconds to export, and are slow.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from calotype.images.preprocess import Preprocessing, Preprocessor
from calotype.models import image_model
from calotype.models.architectures import (
    DENSENETS,
    RESNETS,
    build,
    head_names,
    normalization_of,
)
from calotype.models.export import export
from calotype.models.image_model import Architecture, ImageModel, ModelDescription
from calotype.models.onnx_file import open_session
from calotype.models.pretrained import load_state
from calotype.scoring.scorer import Scorer, softmax

CLASSES = ("astronaut", "cat", "coffee")
SIDE = 64  # pixels; `SIDES` for networks that take one size only
SIDES = {"test_vit": 160}
QUICK = ("resnet18", "resnet34", "resnet50", "efficientnet_lite0")
OF_TIMM = ("mobilenetv3_small_050", "convnext_atto", "test_vit")
EVERY = ("efficientnet_lite0", *RESNETS, *DENSENETS, *OF_TIMM)
ALL = [
    pytest.param(name, marks=[] if name in QUICK or name in OF_TIMM else [pytest.mark.slow])
    for name in EVERY
]


@dataclass
class Made:
    """A network with weights of its own, and what our files made of it."""

    name: str
    network: nn.Module
    model: ImageModel

    def outputs(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what torch computes, shape (images, classes)."""
        with torch.inference_mode():
            return self.network(torch.from_numpy(images)).numpy()


def preprocessing_for(name: str) -> Preprocessing:
    side, normalization = SIDES.get(name, SIDE), normalization_of(name)
    sides = {"resize": side, "crop_height": side, "crop_width": side}
    return Preprocessing.of({**sides, "mean": normalization.mean, "std": normalization.std})


def described(name: str) -> ModelDescription:
    preprocessing = preprocessing_for(name)
    return ModelDescription(
        architecture=Architecture(name=name),
        classes=CLASSES,
        input_size=preprocessing.input_size,
        preprocessing=preprocessing,
    )


def photograph() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(skimage.data.astronaut()).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module", params=ALL)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Made]:
    """The model of an architecture with random weights."""
    name = str(request.param)
    torch.manual_seed(11)
    network = build(name, classes=len(CLASSES)).eval()
    with torch.no_grad():  # random features tell photographs apart no better than this
        for head in head_names(network, name):
            network.get_parameter(f"{head}.bias").copy_(torch.tensor([0.3, -0.2, 0.1]))
    out = tmp_path_factory.mktemp(name) / "model"
    yield Made(name, network, export(network, described(name), out))
    shutil.rmtree(out)  # the largest has a gigabyte


def test_onnx_computes_what_torch_does(made: Made) -> None:
    shape = (3, 3, *made.model.input_size)
    images = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    expected = made.outputs(images)
    session = open_session(made.model.file(image_model.ONNX))
    got = np.asarray(session.run(["logits"], {"image": images})[0])
    assert got.shape == (3, len(CLASSES))
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()
    assert np.ptp(expected, axis=0).max() > 0, "a network that does not look is no test"


def test_saved_weights_are_the_network(made: Made) -> None:
    again = build(made.name, classes=len(CLASSES)).eval()
    again.load_state_dict(load_file(made.model.file(image_model.WEIGHTS)))
    images = torch.randn(2, 3, *made.model.input_size)
    with torch.inference_mode():
        assert again(images).equal(made.network(images))


def test_a_photograph_is_scored_as_torch_does(made: Made) -> None:
    batch = np.empty(made.model.preprocessing.input_shape(1), np.float32)
    Preprocessor(made.model.preprocessing).load(photograph(), batch[0])
    expected = softmax(made.outputs(batch))
    got = Scorer(made.model, "fp32").predict(photograph())
    assert got.probabilities == pytest.approx(expected, abs=1e-4)
    assert got.labels == [CLASSES[int(expected.argmax())]]


def test_the_model_carries_its_own_normalisation(made: Made) -> None:
    preprocessing = ImageModel.load(made.model.path).preprocessing
    normalization = normalization_of(made.name)
    assert (preprocessing.mean, preprocessing.std) == (normalization.mean, normalization.std)


@pytest.mark.parametrize("name", EVERY)
def test_a_new_head_takes_the_place_of_the_old_and_the_body_stays(name: str) -> None:
    """As from ImageNet: weights with 1,000 outputs, for a network of three classes."""
    with torch.device("meta"):  # random numbers would take longer than all the rest
        of_imagenet = build(name, classes=1000).state_dict()
        network = build(name, classes=len(CLASSES))
    network.to_empty(device="cpu")
    heads = tuple(f"{head}." for head in head_names(network, name))
    for key, value in network.state_dict().items():
        value.fill_(9 if key.startswith(heads) else 8)
    state = {
        key: torch.full(value.shape, number % 7, dtype=value.dtype)
        for number, (key, value) in enumerate(of_imagenet.items())
    }
    load_state(network, name, state, Path("weights.pth"), keep_head=False)
    loaded = network.state_dict()
    assert loaded.keys() == state.keys()  # nothing is stacked on top
    for key, value in loaded.items():
        expected = 9 if key.startswith(heads) else state[key].flatten()[0]
        assert value.eq(expected).all(), key
    assert [one for one in network.modules() if getattr(one, "out_features", None) == 1000] == []
