"""The ready model: it knows photographs, is made once, and needs no torch afterwards."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from known_photographs import IMAGENET, OF_SKIMAGE

from calotype import errors, files
from calotype.models import imagenet, pretrained
from calotype.models.image_model import ImageModel
from calotype.scoring.scorer import Scorer


def test_seventeen_of_twenty_photographs_are_known(imagenet_model: ImageModel) -> None:
    """Another normalisation than its own raises no error; it costs three of the twenty."""
    assert len(IMAGENET) == 20
    scores = Scorer(imagenet_model, "fp32").predict(IMAGENET)
    truth = [int(path.stem.rpartition("_")[2]) for path in IMAGENET]
    ranked = scores.probabilities.argsort(axis=1)[:, ::-1]
    hits = sum(int(row[0] == true) for row, true in zip(ranked, truth, strict=True))
    hits_5 = sum(int(true in row[:5]) for row, true in zip(ranked, truth, strict=True))
    assert hits >= 17
    assert hits_5 >= 19


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("coffee.png", {"espresso"}),
        ("chelsea.png", {"tiger cat", "Egyptian cat"}),
        ("camera.png", {"tripod"}),
    ],
)
def test_everyday_photographs(imagenet_model: ImageModel, name: str, labels: set[str]) -> None:
    (label,) = Scorer(imagenet_model, "fp32").predict(OF_SKIMAGE / name).labels
    assert label in labels


def test_its_thousand_names_differ(imagenet_model: ImageModel) -> None:
    """In other lists the bird and the machine are both a crane."""
    assert len(set(imagenet_model.classes)) == 1000
    assert imagenet_model.classes[134] == "crane bird"
    assert imagenet_model.classes[517] == "crane"


def test_it_says_where_it_comes_from(imagenet_model: ImageModel) -> None:
    assert imagenet_model.provenance["licenses"] == {"weights": "Apache-2.0"}
    assert imagenet_model.description.architecture.name == "efficientnet_lite0"
    imagenet_model.verify()


def test_scoring_with_it_needs_no_torch(
    imagenet_model: ImageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALOTYPE_CACHE", str(imagenet_model.path.parents[1]))
    code = (
        "import sys; from calotype import Scorer; "
        f"print(Scorer('imagenet').predict({str(IMAGENET[16])!r}).labels); "
        "print([name for name in ('torch', 'torchvision', 'timm', 'onnx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    label, imported = done.stdout.splitlines()
    assert label == "['dalmatian']"
    assert imported == "[]"


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imagenet").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.InvalidModel, match=r"imagenet: .*model\.json"):
        ImageModel.load("imagenet")


class TestMakeOnce:
    def folder(self) -> Path:
        return files.user_cache() / "models" / imagenet._FOLDER  # pyright: ignore[reportPrivateUsage]

    def test_what_is_there_is_not_made_again(self) -> None:
        folder = self.folder()
        files.write_text(folder / "model.json", "{}")
        assert imagenet.make_once() == folder
        assert (folder / "model.json").read_text() == "{}"

    def test_the_second_of_two_processes_waits_for_the_first(self, tmp_path: Path) -> None:
        folder = self.folder()
        started = tmp_path / "started"
        code = (
            "import time; from pathlib import Path; from calotype import files; "
            f"folder = Path({str(folder)!r})\n"
            "with files.locked(folder.with_suffix('.lock'), what='x'):\n"
            f"    Path({str(started)!r}).touch()\n"
            "    time.sleep(0.7)\n"
            "    files.write_text(folder / 'model.json', 'made by the first')\n"
        )
        with subprocess.Popen([sys.executable, "-c", code]) as first:
            while not started.exists() and first.poll() is None:
                time.sleep(0.01)
            assert imagenet.make_once() == folder
            assert (folder / "model.json").read_text() == "made by the first"

    def test_without_weights_the_places_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pretrained, "_PACKAGES", {})
        with pytest.raises(errors.WeightsNotFound, match="weights") as caught:
            imagenet.make_once()
        assert caught.value.number == 162
        assert not self.folder().exists()

    def test_without_torch_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def nothing(_: str) -> None: ...

        monkeypatch.setattr("importlib.util.find_spec", nothing)
        with pytest.raises(errors.MissingDependency, match=r"calotype\[train\]"):
            ImageModel.load("imagenet")
