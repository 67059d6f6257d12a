"""The contract of every architecture: its name, its outputs, its head, its normalisation."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from calotype import errors
from calotype.images.preprocess import IMAGENET_MEAN
from calotype.models.architectures import (
    ALIASES,
    DENSENETS,
    RESNETS,
    build,
    check_fit,
    check_name,
    head_names,
    normalization_of,
)

CLASSES = 3
DOCUMENTED = (*RESNETS, *DENSENETS)
OF_TIMM = ("test_resnet", "test_vit", "convnext_atto", "deit_tiny_distilled_patch16_224", "vgg11")


def test_the_documented_names() -> None:
    assert set(RESNETS) == {
        *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
        *("resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2"),
    }
    assert DENSENETS == ("densenet121", "densenet161", "densenet169", "densenet201")


@pytest.mark.parametrize("name", [*DOCUMENTED, *ALIASES, *OF_TIMM])
def test_an_architecture_has_one_output_per_class_and_a_head_of_its_own(name: str) -> None:
    with torch.device("meta"):  # shapes without numbers: quick for the largest network
        network = build(name, classes=CLASSES).eval()
        outputs = network(torch.empty(2, 3, 224, 224))
    assert outputs.shape == (2, CLASSES)
    parameters = dict(network.named_parameters())
    for head in head_names(network, name):
        assert parameters[f"{head}.weight"].shape[0] == CLASSES
        assert parameters[f"{head}.bias"].shape == (CLASSES,)
    with torch.device("meta"):
        other = dict(build(name, classes=CLASSES + 1).named_parameters())
    heads = tuple(f"{head}." for head in head_names(network, name))
    differ = {key for key, value in parameters.items() if other[key].shape != value.shape}
    assert differ == {key for key in parameters if key.startswith(heads)}


def test_the_lites_are_those_of_tensorflow() -> None:
    """timm's plain variant takes the same weights and pads differently."""
    import timm

    for ours, of_timm in ALIASES.items():
        with torch.device("meta"):
            network, expected = build(ours, classes=2), timm.create_model(of_timm, num_classes=2)
        assert str(network) == str(expected)
        assert "Conv2dSame" in str(network)


def test_the_documented_names_need_no_import_of_timm() -> None:
    code = (
        "import sys; from calotype.models.architectures import *; "
        f"[check_name(name) for name in {(*DOCUMENTED, *ALIASES)!r}]; "
        "print([name for name in ('timm', 'torch', 'torchvision') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet81", "Did you mean 'resnet18'?"),
        ("densenet-121", "Did you mean 'densenet121'?"),
        ("ResNet50", "Did you mean 'resnet50'?"),
        ("hf-hub:timm/resnet18.a1_in1k", ""),
        ("../resnet18", ""),
        ("", ""),
    ],
)
def test_an_unknown_name_is_refused(name: str, hint: str) -> None:
    for use in (lambda: check_name(name), lambda: build(name, classes=2)):
        with pytest.raises(errors.UnparsableValue) as caught:
            use()
        assert caught.value.where == "parameter 'architecture'"
        assert hint in caught.value.action


@pytest.mark.parametrize("name", RESNETS)
def test_zero_init_residual_makes_every_block_an_identity(name: str) -> None:
    with torch.device("meta"):
        last = {
            f"{block}.bn3.weight" if hasattr(module, "bn3") else f"{block}.bn2.weight"
            for block, module in build(name, classes=2).named_modules()
            if hasattr(module, "bn2")
        }
    assert len(last) >= 8
    plain, zeroed = (_ones_at_the_end(name, last, zero) for zero in (False, True))
    assert plain == last
    assert zeroed == set()


def _ones_at_the_end(name: str, last: set[str], zero: bool) -> set[str]:
    """Return which of the last batch norms do not begin at zero; skips the slow random draws."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.nn.init.kaiming_uniform_", _leave)
        patch.setattr("torch.nn.init.kaiming_normal_", _leave)
        network = build(name, classes=2, arguments={"zero_init_residual": zero})
    return {key for key in last if network.get_parameter(key).all()}


def _leave(tensor: torch.Tensor, **_: Any) -> torch.Tensor:
    return tensor


@pytest.mark.parametrize("name", DENSENETS)
def test_memory_efficient_reaches_every_layer(name: str) -> None:
    for wanted in (False, True):
        with torch.device("meta"):
            network = build(name, classes=2, arguments={"memory_efficient": wanted})
        layers = [one for key, one in network.named_modules() if "denselayer" in key]
        got = {one.memory_efficient for one in layers if hasattr(one, "memory_efficient")}
        assert got == {wanted}


def test_memory_efficient_computes_the_same_and_learns_the_same() -> None:
    torch.manual_seed(0)
    plain = build("densenet121", classes=2)
    saving = build("densenet121", classes=2, arguments={"memory_efficient": True})
    saving.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 32, 32)
    gradients: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    for network in (plain, saving):
        network.train()
        outputs.append(network(images))
        torch.nn.functional.cross_entropy(outputs[-1], torch.tensor([0, 1])).backward()
        gradient = network.get_parameter("features.conv0.weight").grad
        assert gradient is not None
        gradients.append(gradient)
    assert torch.allclose(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)
    assert gradients[0].abs().max() > 0
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet18", {"memory_efficient": True}),
        ("densenet121", {"nonsense": 1}),
        ("resnet18", {"norm_layer": 1}),
        ("test_vit", {"nonsense": 1}),
        ("test_vit", {"img_size": "large"}),
        # These would fetch or unpickle weights.
        ("resnet18", {"weights": "DEFAULT"}),
        ("resnet18", {"num_classes": 5}),
        ("test_resnet", {"pretrained": True}),
        ("test_resnet", {"checkpoint_path": "weights.pth"}),
    ],
)
def test_wrong_arguments_are_refused(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(errors.UnparsableValue, match=f"architecture '{name}'"):
        build(name, classes=2, arguments=arguments)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_documented_ones_are_normalised_as_imagenet(name: str) -> None:
    assert normalization_of(name).mean == IMAGENET_MEAN


@pytest.mark.parametrize("name", [*ALIASES, "tf_efficientnet_lite0", "tf_efficientnet_lite2.in1k"])
def test_the_lites_are_normalised_as_their_authors_did(name: str) -> None:
    normalization = normalization_of(name)
    for value, expected in ((0, -127 / 128), (127, 0), (255, 1)):
        got = (value / 255 - normalization.mean[1]) / normalization.std[1]
        assert got == pytest.approx(expected)


def test_timms_records_say_how_others_are_normalised() -> None:
    assert normalization_of("vit_tiny_patch16_224").mean == (0.5, 0.5, 0.5)
    assert normalization_of("convnext_atto").mean == IMAGENET_MEAN


class TestCheckFit:
    def test_a_fitting_network_is_left_as_it_was(self) -> None:
        network = build("resnet18", classes=2)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        check_fit(network, "resnet18", classes=2, input_size=(32, 32))
        assert network.training
        for name, value in network.state_dict().items():
            assert value.equal(before[name])

    @pytest.mark.parametrize(("name", "size"), [("test_convnext", 1), ("vit_tiny_patch16_224", 64)])
    def test_an_image_of_another_size_than_it_takes(self, name: str, size: int) -> None:
        network = build(name, classes=2)
        with pytest.raises(errors.UnparsableValue, match=f"{size} x {size} pixels"):
            check_fit(network, name, classes=2, input_size=(size, size))

    def test_one_image_where_batch_norm_needs_two(self) -> None:
        network = build("resnet18", classes=2)
        check_fit(network, "resnet18", classes=2, input_size=(64, 64), images=1)
        with pytest.raises(errors.NotGreaterOrEqual, match="at least 2") as caught:
            check_fit(network, "resnet18", classes=2, input_size=(32, 32), images=1)
        assert caught.value.number == 5

    def test_a_network_that_gives_something_else(self) -> None:
        with pytest.raises(errors.UnparsableValue, match="one number per class"):
            check_fit(torch.nn.Flatten(), "flatten", classes=2, input_size=(4, 4))


def _find_nothing(_: str) -> None: ...


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", _find_nothing)
    for use in (lambda: build("resnet18", classes=2), lambda: check_name("convnext_atto")):
        with pytest.raises(errors.MissingDependency, match=r"calotype\[train\]"):
            use()
    check_name("resnet18")
