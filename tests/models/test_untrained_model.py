"""The untrained model: what is stored, and that wanted weights are never left out in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calotype import errors
from calotype.models.untrained_model import FILE_NAME, UntrainedModel


@pytest.fixture(autouse=True)
def no_weights_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    model = UntrainedModel(
        architecture="densenet121", arguments={"memory_efficient": True}, pretrained="none"
    )
    model.save(tmp_path / "untrained")
    assert UntrainedModel.load(tmp_path / "untrained") == model


def test_its_file_is_plain_json(tmp_path: Path) -> None:
    UntrainedModel(architecture="resnet18", pretrained=tmp_path / "w.pth").save(tmp_path / "u")
    assert json.loads((tmp_path / "u" / FILE_NAME).read_text()) == {
        "format_version": 1,
        "architecture": "resnet18",
        "arguments": {},
        "pretrained": str(tmp_path / "w.pth"),
    }
    assert UntrainedModel.load(tmp_path / "u").weights() == tmp_path / "w.pth"


def test_an_earlier_one_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    UntrainedModel(architecture="resnet18").save(tmp_path / "u")
    UntrainedModel(architecture="resnet34").save(tmp_path / "u")
    assert UntrainedModel.load(tmp_path / "u").architecture == "resnet34"

    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("Dear Anna")
    with pytest.raises(errors.AlreadyExists):
        UntrainedModel(architecture="resnet18").save(tmp_path / "letters")
    with pytest.raises(errors.AlreadyExists):
        UntrainedModel(architecture="resnet18").save(tmp_path / "letters" / "letter.txt")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.json", "{}", "Got a trained model. Score with it in Score Image Model"),
        ("letter.txt", "Dear Anna", "without untrained_model.json. Make one with the module"),
        (FILE_NAME, "{", "expected an untrained model of format version 1"),
        (FILE_NAME, "[]", "expected an untrained model of format version 1"),
        (FILE_NAME, "{}", "architecture: Field required"),
        (FILE_NAME, '{"format_version": 2, "architecture": "resnet18"}', "format_version"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(errors.InvalidModel) as caught:
        UntrainedModel.load(tmp_path)
    assert caught.value.number == 159
    assert said in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidModel, match="no such folder"):
        UntrainedModel.load(tmp_path / "nothing")


def test_no_weights_are_looked_for_when_none_are_wanted() -> None:
    assert UntrainedModel(architecture="resnet18", pretrained="none").weights() == "none"


def test_wanted_weights_must_be_there(cache: Path) -> None:
    with pytest.raises(errors.WeightsNotFound, match="switch 'pretrained' off") as caught:
        UntrainedModel(architecture="resnet18").weights()
    assert caught.value.number == 162
    assert str(cache / "weights") in caught.value.got


def test_wanted_weights_are_found_in_the_users_cache(cache: Path) -> None:
    weights = cache / "weights" / "resnet18.safetensors"
    weights.parent.mkdir(parents=True)
    weights.touch()
    assert UntrainedModel(architecture="resnet18").weights() == weights
