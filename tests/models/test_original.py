"""Model directories of the retired designer, built as it built them, become models of ours."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
import yaml
from PIL import Image
from torch import nn

from calotype import errors
from calotype.models import original
from calotype.models.image_model import ImageModel
from calotype.models.importing import ImportOptions, import_model
from calotype.scoring.scorer import Scorer, softmax

LABELS = ("01", "NA", "true", "a, b", "null")

Tensors = dict[str, torch.Tensor]


class Stacked(nn.Module):
    """A pretrained network as the designer fitted it: 1,000 outputs, and a layer on top."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.model = network
        self.fc = nn.Linear(1000, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return one number per class, shape (images, classes)."""
        return self.fc(self.model(images))


def network_of(name: str, outputs: int) -> nn.Module:
    torch.manual_seed(outputs)
    return torchvision.models.get_model(name, weights=None, num_classes=outputs).eval()


def specification(name: str, *, pretrained: bool, labels: int = len(LABELS)) -> dict[str, Any]:
    option = "zero_init_residual" if name.startswith(("res", "wide")) else "memory_efficient"
    normalizer = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    return {
        "flavor": {"name": "pytorch", "serialization_method": "state_dict"},
        "model_file": "model",
        "time_created": "2021-03-04 05:06:07.000008",
        "flavor_extras": {
            "module": "some.module.of.theirs",
            "class": "ResNet",
            "is_cuda": False,
            "init_params": {
                "model_name": name,
                "pretrained": pretrained,
                option: False,
                "num_classes": labels,
            },
        },
        "task_type": "MultiClassification",
        "label_map_file": "index_to_label.csv",
        "inputs": [
            {
                "name": "image",
                "pre_processor": {
                    "module": "some.module.of.theirs",
                    "class": "ImageNormalizer",
                    "init_params": normalizer,
                },
            }
        ],
    }


def write(
    folder: Path,
    state: Tensors,
    *,
    name: str = "resnet18",
    pretrained: bool = False,
    labels: Sequence[str] = LABELS,
    changes: dict[str, Any] | None = None,
) -> Path:
    """Write a trained model directory; `changes` are made to its specification."""
    folder.mkdir(parents=True)
    document = specification(name, pretrained=pretrained, labels=len(labels)) | (changes or {})
    (folder / "_meta.yaml").write_text(
        "type: ModelDirectory\nextension: {}\nmodel: model_spec.yaml\nregisterModel: true\n"
    )
    (folder / "model_spec.yaml").write_text(yaml.safe_dump(document))
    torch.save(state, folder / "model")
    lines = [f'{index},"{label}"\n' for index, label in enumerate(labels)]
    (folder / "index_to_label.csv").write_text(",label\n" + "".join(lines))
    return folder


@pytest.fixture(scope="module")
def small() -> nn.Module:
    """The smallest of the designer's networks, with one output per label."""
    return network_of("resnet18", len(LABELS))


def outputs(network: nn.Module, images: torch.Tensor | None = None) -> torch.Tensor:
    images = torch.randn(3, 3, 64, 64) if images is None else images
    with torch.inference_mode():
        return network.eval()(images)


def difference(network: nn.Module, other: nn.Module) -> float:
    """Return how far the outputs of two networks for the same images are apart, relatively."""
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    one, two = outputs(network, images), outputs(other, images)
    return float((one - two).abs().max() / two.abs().max())


class TestWhatItComputes:
    @pytest.mark.parametrize("name", ["resnet18", "densenet121"])
    def test_a_network_with_one_last_layer(self, name: str, tmp_path: Path) -> None:
        network = network_of(name, len(LABELS))
        read = original.read(write(tmp_path / "m", network.state_dict(), name=name))
        assert read.architecture == name
        assert difference(read.network, network) < 1e-6

    @pytest.mark.parametrize("name", ["resnet18", "densenet121"])
    def test_two_stacked_layers_become_one(self, name: str, tmp_path: Path) -> None:
        stacked = Stacked(network_of(name, 1000), len(LABELS))
        folder = write(tmp_path / "m", stacked.state_dict(), name=name, pretrained=True)
        read = original.read(folder)
        assert difference(read.network, stacked) < 1e-5
        head = read.network.get_submodule("fc" if name == "resnet18" else "classifier")
        assert len(head.get_parameter("weight")) == len(LABELS)

    def test_any_wrapper_around_the_names(self, small: nn.Module, tmp_path: Path) -> None:
        body = network_of("resnet18", 1000)
        last = nn.Linear(1000, len(LABELS))
        in_place = network_of("resnet18", 1000)
        in_place.add_module("fc", nn.Sequential(in_place.get_submodule("fc"), last))
        wrapped = {
            "model.": small,
            "module.model.net.": small,
            "sequential": nn.Sequential(body, last),
            "in place": in_place,
        }
        for number, (prefix, network) in enumerate(wrapped.items()):
            state = network.state_dict()
            if prefix.endswith("."):
                state = {prefix + name: value for name, value in state.items()}
            read = original.read(write(tmp_path / str(number), state))
            assert difference(read.network, network) < 1e-5, prefix

    def test_older_files(self, small: nn.Module, tmp_path: Path) -> None:
        """Without the counters of batch norms, and DenseNet under its older names."""
        kept = {key: one for key, one in small.state_dict().items() if "num_batches" not in key}
        assert difference(original.read(write(tmp_path / "1", kept)).network, small) < 1e-6
        dense = network_of("densenet121", len(LABELS))
        old = {
            key.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): one
            for key, one in dense.state_dict().items()
        }
        assert old.keys() != dense.state_dict().keys()
        read = original.read(write(tmp_path / "2", old, name="densenet121"))
        assert difference(read.network, dense) < 1e-6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageModel, nn.Module]:
    """A pretrained network of the designer, inside the usual folder, and the model made of it."""
    folder = tmp_path_factory.mktemp("original")
    stacked = Stacked(network_of("resnet18", 1000), len(LABELS))
    write(folder / "run" / "trained_model_outputs", stacked.state_dict(), pretrained=True)
    options = ImportOptions(input_size=(64, 64))
    return import_model(folder / "run", None, folder / "ours", options=options), stacked


class TestTheModel:
    def test_it_scores_as_the_original_did(self, model: tuple[ImageModel, nn.Module]) -> None:
        ours, stacked = model
        random = np.random.default_rng(0)
        pixels = random.integers(0, 256, (64, 64, 3), np.uint8)  # of the size: no resizing there
        inputs = (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
        expected = softmax(outputs(stacked, inputs).numpy())
        scorer = Scorer(with_resize(ours, 64), "fp32")  # of 64 to 64: what the original saw
        assert scorer.predict(pixels).probabilities == pytest.approx(expected, abs=1e-5)

    def test_labels_stay_text(self, model: tuple[ImageModel, nn.Module]) -> None:
        assert model[0].classes == LABELS
        document = json.loads((model[0].path / "model.json").read_text())
        assert document["classes"] == list(LABELS)

    def test_it_carries_its_preprocessing(self, model: tuple[ImageModel, nn.Module]) -> None:
        description = model[0].description
        assert description.preprocessing.mean == (0.5, 0.5, 0.5)
        assert description.preprocessing.std == (0.5, 0.5, 0.5)
        assert description.architecture.name == "resnet18"
        assert description.architecture.arguments == {"zero_init_residual": False}
        assert description.training == {"imported_from": "trained_model_outputs"}
        model[0].verify()


def with_resize(model: ImageModel, resize: int) -> ImageModel:
    """Return the same model, that shrinks images to another side before the crop."""
    preprocessing = model.preprocessing.model_copy(update={"resize": resize})
    description = model.description.model_copy(update={"preprocessing": preprocessing})
    return ImageModel(model.path, description, digest=model.digest)


class TestRefusals:
    def refused(self, folder: Path) -> errors.CalotypeError:
        with pytest.raises(errors.CalotypeError) as caught:
            import_model(folder, None, folder.parent / "out")
        assert not (folder.parent / "out").exists()
        return caught.value

    def test_an_untrained_model(self, small: nn.Module, tmp_path: Path) -> None:
        folder = write(tmp_path / "m", small.state_dict())
        document = specification("resnet18", pretrained=False)
        del document["label_map_file"]
        (folder / "model_spec.yaml").write_text(yaml.safe_dump(document))
        error = self.refused(folder)
        assert error.number == 159
        assert "an untrained model of the retired designer" in error.got

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"flavor": {"name": "sklearn"}}, "classic"),
            ({"flavor": None}, "classic"),
        ],
    )
    def test_other_models(self, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
        error = self.refused(write(tmp_path / "m", {}, changes=changes))
        assert error.number == 159
        assert said in error.got

    def test_another_directory(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "m", {})
        (folder / "_meta.yaml").write_text("type: DataFrameDirectory\n")
        assert "DataFrameDirectory" in self.refused(folder).got

    def test_an_unknown_network(self, tmp_path: Path) -> None:
        error = self.refused(write(tmp_path / "m", {}, name="resnet81"))
        assert (error.number, error.got) == (159, "'resnet81'")

    @pytest.mark.parametrize(
        "text",
        ["", "[", "a list", "- 1", "t: 2020-99-99", "!!python/object:os.system [ls]", "[" * 5000],
    )
    def test_a_damaged_specification(self, tmp_path: Path, text: str) -> None:
        folder = write(tmp_path / "m", {})
        (folder / "model_spec.yaml").write_text(text)
        error = self.refused(folder)
        assert error.number == 82
        assert error.where == str(folder / "model_spec.yaml")

    @pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "nothing", "", "."])
    def test_files_from_elsewhere(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "secret").write_text(",label\n0,a\n")
        for key in ("model_file", "label_map_file"):
            folder = write(tmp_path / key, {}, changes={key: name})
            assert self.refused(folder).number == 82

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("", 82),
            (",label\n", 82),
            (",label\n0,a\n2,b\n", 82),
            (",label\n0,a\n0,b\n", 82),
            (",label\nzero,a\n", 82),
            (",label\n0,a,b\n", 82),
            (",label\n0,a\n1,a\n", 49),
            (",label\n0,a\n1,\n", 49),
            (",label\n0,a\n1,b\n", 159),
        ],
    )
    def test_a_damaged_label_map(self, tmp_path: Path, text: str, number: int) -> None:
        folder = write(tmp_path / "m", {})
        (folder / "index_to_label.csv").write_text(text)
        assert self.refused(folder).number == number

    def test_a_truncated_state_dictionary(self, small: nn.Module, tmp_path: Path) -> None:
        folder = write(tmp_path / "m", small.state_dict())
        data = (folder / "model").read_bytes()
        (folder / "model").write_bytes(data[: len(data) // 2])
        error = self.refused(folder)
        assert (error.number, error.where) == (82, str(folder / "model"))

    def test_a_pickle_of_a_whole_network_is_not_executed(
        self, small: nn.Module, tmp_path: Path
    ) -> None:
        folder = write(tmp_path / "m", {})
        torch.save(small, folder / "model")
        assert "a pickle of more than tensors" in self.refused(folder).got

        class Trap:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (tmp_path / "executed",)

        (folder / "model").write_bytes(pickle.dumps(Trap()))
        assert self.refused(folder).number == 82
        assert not (tmp_path / "executed").exists()

    def test_tensors_of_another_network(self, small: nn.Module, tmp_path: Path) -> None:
        error = self.refused(write(tmp_path / "m", small.state_dict(), name="resnet34"))
        assert error.number == 82
        assert "'layer1.2.conv1.weight' is missing" in error.got

    def test_last_layers_that_do_not_fit(self, small: nn.Module, tmp_path: Path) -> None:
        state = small.state_dict()
        wrong = {
            "other": {**state, "extra.weight": torch.zeros(3, 1000)},
            "vector": {**state, "extra": torch.zeros(3)},
            "bias": {**state, "fc.bias": torch.zeros(1)},
            "none": {key: one for key, one in state.items() if not key.startswith("fc.")},
        }
        for name, one in wrong.items():
            error = self.refused(write(tmp_path / name, one))
            assert error.number == 82
            assert "from 512 features to 5 classes" in error.expected

    def test_what_contradicts_the_model(self, small: nn.Module, tmp_path: Path) -> None:
        folder = write(tmp_path / "m", small.state_dict())
        with pytest.raises(errors.UnparsableValue, match="'resnet18', which the model itself"):
            import_model(
                folder, None, tmp_path / "out", options=ImportOptions(architecture="resnet34")
            )
        with pytest.raises(errors.InvalidModel, match="expected 5 class names"):
            import_model(folder, ["a", "b"], tmp_path / "out")

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "m").mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / "m" / "picture.png")
        assert "a folder without model_spec.yaml" in self.refused(tmp_path / "m").got


def test_without_yaml_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "m", {})
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(errors.MissingDependency, match=r"calotype\[train\]"):
        original.read(folder)
