"""Calibration and novelty: learnt from validation images once, used by every score."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from filelock import FileLock
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from calotype import errors
from calotype.evaluation import evaluate
from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory
from calotype.images.transformation import Transformation
from calotype.models.image_model import NOVELTY, ImageModel
from calotype.scored_dataset import ScoredDataset
from calotype.scoring.finish import finish
from calotype.scoring.runtimes import Precision, openvino
from calotype.scoring.score import score
from calotype.scoring.scorer import Scorer


def known_photographs() -> list[Path]:
    """Return twenty photographs of ImageNet; the class index is in the name."""
    spec = importlib.util.find_spec("foolbox")
    assert spec is not None
    assert spec.origin is not None
    return sorted((Path(spec.origin).parent / "data").glob("imagenet_*.jpg"))


@pytest.fixture(scope="session")
def validation_folder(
    shared_folder: Path, imagenet_model: ImageModel, photograph_folder: Path
) -> Path:
    """Twenty photographs under their ImageNet names, seventy of a category that is no class."""
    folder = shared_folder / "validation"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            made = shared_folder / "validation being made"
            shutil.copytree(photograph_folder / "red", made / "red")
            for path in known_photographs():
                index = int(path.stem.rpartition("_")[2])
                category = made / imagenet_model.classes[index]
                category.mkdir(exist_ok=True)
                shutil.copy(path, category)
            made.rename(folder)
    return folder


@pytest.fixture(scope="session")
def finished(model: ImageModel, validation_folder: Path, shared_folder: Path) -> ImageModel:
    """The model of all precisions, finished; bf16 is measured on processors without it, too."""

    def every(_: str) -> bool:
        return True

    folder = shared_folder / "finished"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            copied = shared_folder / "being finished"
            shutil.copytree(model.path, copied)
            with (
                ImageDirectory.open(validation_folder) as images,
                pytest.MonkeyPatch.context() as patch,
            ):
                patch.setattr(openvino, "has_in_hardware", every)
                finish(ImageModel.load(copied), images)
            copied.rename(folder)
    return ImageModel.load(folder)


@pytest.fixture(scope="module")
def foreign_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty handwritten digits, of 8 x 8 pixels, and ten pictures of noise."""
    folder = tmp_path_factory.mktemp("foreign")
    digits: Any = load_digits()
    for index, pixels in enumerate(digits.images[:30]):
        Image.fromarray((pixels * 15.9).astype(np.uint8)).save(folder / f"digit {index}.png")
    random = np.random.default_rng(0)
    for index in range(10):
        noise = random.integers(0, 256, (240, 320, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"noise {index}.png")
    return folder


def novelty_of(scorer: Scorer, folder: Path) -> np.ndarray:
    with ImageDirectory.open(folder) as directory:
        parts = [chunk.novelty for chunk in scorer.chunks(directory)]
    return np.concatenate([part for part in parts if part is not None])


def copied(model: ImageModel, folder: Path) -> ImageModel:
    shutil.copytree(model.path, folder)
    return ImageModel.load(folder)


def test_the_model_knows_its_temperature_and_its_validation_images(finished: ImageModel) -> None:
    assert finished.description.temperature is not None
    assert 0.05 < finished.description.temperature < 20
    assert 0 <= finished.metrics["ece"] <= 1
    assert finished.metrics["ece"] != finished.metrics["ece_before_calibration"]
    assert finished.metrics["published_top_1_accuracy"] == 0.751
    assert finished.has(NOVELTY)
    assert "openvino:bf16" in finished.description.precisions
    finished.verify()


def test_the_calibration_error_is_that_of_an_evaluation(
    finished: ImageModel, validation_folder: Path, tmp_path: Path
) -> None:
    photographs = tmp_path / "photographs"
    shutil.copytree(validation_folder, photographs, ignore=shutil.ignore_patterns("red"))
    for calibrated, key in ((True, "ece"), (False, "ece_before_calibration")):
        scorer = Scorer(finished, "fp32", calibrated=calibrated)
        scored = score(scorer, photographs, tmp_path / key)
        found = evaluate(scored.path, out=tmp_path / f"{key} report", resamples=10)
        value = found.sets[0].estimates["ece"].value
        assert value == pytest.approx(finished.metrics[key], abs=1e-6)


def test_calibration_changes_probabilities_and_no_label(
    finished: ImageModel, model: ImageModel, photograph_folder: Path
) -> None:
    paths = sorted(photograph_folder.rglob("*.jpg"))[::4]
    plain = Scorer(model, "fp32").predict(paths)
    calibrated = Scorer(finished, "fp32").predict(paths)
    switched_off = Scorer(finished, "fp32", calibrated=False).predict(paths)
    assert switched_off.probabilities.tobytes() == plain.probabilities.tobytes()
    assert calibrated.labels == plain.labels
    assert np.abs(calibrated.probabilities - plain.probabilities).max() > 1e-3
    assert calibrated.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_foreign_images_are_more_novel_than_held_out_ones(
    finished: ImageModel, photograph_folder: Path, foreign_folder: Path
) -> None:
    scorer = Scorer(finished, "fp32", novelty=True)
    own = novelty_of(scorer, photograph_folder / "green")
    foreign = novelty_of(scorer, foreign_folder)
    is_foreign = [0] * len(own) + [1] * len(foreign)
    assert roc_auc_score(is_foreign, np.concatenate([own, foreign])) >= 0.95
    assert np.median(own) < 0.7
    assert foreign.min() > 0.9
    assert foreign.max() < 1


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_novelty_leaves_scores_alone_and_depends_on_no_neighbour(
    finished: ImageModel, photograph_folder: Path, precision: Precision
) -> None:
    plain = Scorer(finished, precision)
    scorer = Scorer(finished, precision, threads=1, novelty=True)
    with ImageDirectory.open(photograph_folder / "blue") as directory:
        expected = np.concatenate([chunk.probabilities for chunk in plain.chunks(directory)])
        got = np.concatenate([chunk.probabilities for chunk in scorer.chunks(directory)])
    if precision == "bf16":  # OpenVINO rounds elsewhere when it has to give the features
        assert got == pytest.approx(expected, abs=0.02)
    else:
        assert got.tobytes() == expected.tobytes()
    one_by_one = novelty_of(scorer, photograph_folder / "blue")
    others = Scorer(finished, precision, threads=3, novelty=True)
    others.runtime.batch_size = 5
    assert novelty_of(others, photograph_folder / "blue").tobytes() == one_by_one.tobytes()
    at_hand = others.predict(sorted((photograph_folder / "blue").iterdir())).novelty
    assert at_hand is not None
    assert at_hand.tobytes() == one_by_one.tobytes()


def test_the_column_comes_last_and_the_schema_knows_it(
    finished: ImageModel, photograph_folder: Path, tmp_path: Path
) -> None:
    source = photograph_folder / "blue"
    without = score(Scorer(finished, "fp32"), source, tmp_path / "without")
    scorer = Scorer(finished, "fp32", novelty=True)
    result = score(scorer, source, tmp_path / "with")
    plain, novel = (
        pa.Table.from_batches(ScoredDataset.load(run.path).batches()) for run in (without, result)
    )
    assert novel.column_names == [*plain.column_names, "Novelty"]
    assert novel.schema.field("Novelty").type == pa.float32()
    assert novel.drop_columns("Novelty").equals(plain)
    assert "novelty_column" not in json.loads((tmp_path / "without/_schema.json").read_text())
    schema = json.loads((tmp_path / "with/_schema.json").read_text())
    assert schema["novelty_column"] == "Novelty"
    assert schema["columnAttributes"][-1]["name"] == "Novelty"
    assert (without.run["novelty"], result.run["novelty"]) == (False, True)
    assert result.run["temperature"] == finished.description.temperature
    streamed = pa.Table.from_batches(scorer.score(source))
    assert streamed.equals(novel)
    as_csv = score(scorer, source, tmp_path / "csv", format="csv")
    assert "Novelty" in ScoredDataset.load(as_csv.path).columns


def test_a_run_with_another_choice_does_not_continue(
    finished: ImageModel, photograph_folder: Path, tmp_path: Path
) -> None:
    source = photograph_folder / "blue"
    score(Scorer(finished, "fp32"), source, tmp_path / "out")
    with pytest.raises(errors.AlreadyExists, match="novelty"):
        score(Scorer(finished, "fp32", novelty=True), source, tmp_path / "out")
    with pytest.raises(errors.AlreadyExists, match="temperature"):
        score(Scorer(finished, "fp32", calibrated=False), source, tmp_path / "out")
    assert score(Scorer(finished, "fp32"), source, tmp_path / "out").was_complete


def test_a_model_without_validation_images_cannot_tell_novelty(model: ImageModel) -> None:
    with pytest.raises(errors.WeightsNotFound, match=NOVELTY):
        Scorer(model, "fp32", novelty=True)


class TestFewImages:
    def test_one_image_tells_nothing(self, imagenet_model: ImageModel, tmp_path: Path) -> None:
        folder = tmp_path / "one"
        folder.mkdir()
        shutil.copy(known_photographs()[0], folder)
        with ImageDirectory.open(folder) as images:
            done = finish(copied(imagenet_model, tmp_path / "model"), images)
        assert done.description.temperature is None
        assert not done.has(NOVELTY)

    def test_unlabelled_and_unreadable_images_and_another_transformation(
        self, imagenet_model: ImageModel, tmp_path: Path
    ) -> None:
        folder = tmp_path / "photographs"
        folder.mkdir()
        for path in known_photographs()[:6]:
            shutil.copy(path, folder)
        directory = convert(folder, tmp_path / "images")
        (folder / known_photographs()[3].name).write_bytes(b"lost")
        other = Transformation.of({"size": 64, "crop_size": 48})
        pending = directory.with_pending(other, "inference", tmp_path / "pending")
        done = finish(copied(imagenet_model, tmp_path / "model"), pending)
        assert done.description.temperature is None
        assert "ece" not in done.metrics
        assert done.has(NOVELTY)
        assert done.description.precisions["openvino:bf16"].images == 5
        novelty = Scorer(done, "fp32", novelty=True).predict(known_photographs()).novelty
        assert novelty is not None
        assert ((novelty >= 0) & (novelty < 1)).all()

    def test_no_readable_image_leaves_the_model_as_it_is(
        self, imagenet_model: ImageModel, tmp_path: Path
    ) -> None:
        folder = tmp_path / "photographs"
        folder.mkdir()
        shutil.copy(known_photographs()[0], folder)
        directory = convert(folder, tmp_path / "images")
        (folder / known_photographs()[0].name).write_bytes(b"lost")
        model = copied(imagenet_model, tmp_path / "model")
        assert finish(model, directory).digest == model.digest
