"""Train PyTorch Model: from two sets of real images to a model that scores as it was measured."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from numpy.typing import NDArray
from safetensors.torch import load_file
from small_digits import SMALL, Told, write_digits

from calotype import errors
from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory
from calotype.images.preprocess import Preprocessor
from calotype.images.transformation import Transformation
from calotype.models import image_model
from calotype.models.image_model import ImageModel
from calotype.models.onnx_file import open_session
from calotype.models.pretrained import require
from calotype.models.quantize import quantize
from calotype.scoring.scorer import Scorer
from calotype.training.fit import Fitted
from calotype.training.outcome import Listeners
from calotype.training.parameters import Network, TrainingParameters
from calotype.training.train import fit, train

Digits = Callable[[str], ImageDirectory]
SCRATCH = Network(architecture="resnet18", pretrained="none")
QUICK = TrainingParameters(epochs=1, batch_size=20, learning_rate=0.05)


def quick(
    training: ImageDirectory,
    validation: ImageDirectory,
    *,
    network: Network = SCRATCH,
    transformation: Transformation | None = SMALL,
    told: Told | None = None,
    **parameters: Any,
) -> Fitted:
    return fit(
        network,
        training,
        validation,
        transformation=transformation,
        parameters=TrainingParameters.of({**QUICK.model_dump(), **parameters}),
        progress=told or Told(),
    )


def outputs(path: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(open_session(path).run(None, {"image": inputs})[0])


@pytest.fixture(scope="module")
def model(digits: Digits, shared_folder: Path) -> ImageModel:
    out = shared_folder / "trained"
    with FileLock(f"{out}.lock"):
        if not out.exists():
            train(
                SCRATCH,
                digits("learn"),
                digits("check"),
                out,
                transformation=SMALL,
                parameters=TrainingParameters(epochs=2, learning_rate=0.05),
            )
    return ImageModel.load(out)


@pytest.mark.slow
class TestTheModel:
    def test_it_has_learnt_digits(self, model: ImageModel) -> None:
        assert model.metrics["top_1_accuracy"] >= 0.75
        assert model.metrics["top_5_accuracy"] >= 0.95
        assert model.classes == tuple("0123456789")

    def test_the_scorer_finds_the_accuracy_that_validation_measured(
        self, model: ImageModel, digits: Digits
    ) -> None:
        """Exactly: the saved weights are those of the best epoch, the images the same pixels."""
        losses: list[float] = []
        hits = 0
        check = digits("check")
        for chunk in Scorer(model, "fp32").chunks(check):
            for entry, row in zip(chunk.entries, chunk.probabilities, strict=True):
                true = model.classes.index(entry.category or "")
                losses.append(-math.log(row[true]))
                hits += row.argmax() == true
        assert hits / len(check) == model.metrics["top_1_accuracy"]
        assert np.mean(losses) == pytest.approx(model.metrics["validation_loss"], rel=1e-4)

    def test_its_description_tells_how_it_was_made(self, model: ImageModel, digits: Digits) -> None:
        training = model.description.training
        assert [row["epoch"] for row in training["epoch_metrics"]] == [1, 2]
        for row in training["epoch_metrics"]:
            assert len(row) == 9
            assert all(math.isfinite(value) for value in row.values())
        best = min(training["epoch_metrics"], key=lambda row: row["validation_loss"])
        assert model.metrics["best_epoch"] == best["epoch"]
        for name in ("validation_loss", "top_1_accuracy", "top_5_accuracy"):
            assert model.metrics[name] == best[name]
        assert training["epochs"] == 2
        assert training["random_seed"] == 1
        assert training["pretrained"] is None
        assert training["unreadable_images"] == 0
        assert Transformation.of(training["transformation"]) == SMALL
        assert model.description.data_fingerprint == digits("learn").info.fingerprint
        assert model.description.architecture.name == "resnet18"
        assert model.input_size == (32, 32)
        assert model.description.versions["torch"] == torch.__version__
        model.verify()

    def test_its_samples_are_training_images_of_several_categories(
        self, model: ImageModel, digits: Digits
    ) -> None:
        samples = [
            base64.b64decode(row["image"])
            for row in json.loads(model.file("_samples.json").read_text())
        ]
        learn = digits("learn")
        with learn.reader() as reader:
            category_of = {reader.read(entry): entry.category for entry in learn.entries()}
        assert [category_of[data] for data in samples] == ["0", "1", "2"]

    def test_its_int8_version_agrees(
        self, model: ImageModel, digits: Digits, tmp_path: Path
    ) -> None:
        check = digits("check")
        preprocessor = Preprocessor(model.preprocessing)
        inputs = np.empty(model.preprocessing.input_shape(len(check)), np.float32)
        with check.reader() as reader:
            for index, entry in enumerate(check.entries()):
                preprocessor.load(reader.read(entry), inputs[index])
        fp32, int8 = model.file(image_model.ONNX), tmp_path / "int8.onnx"
        quantize(fp32, int8, input_name="image", images=np.split(inputs[:50], 50))
        labels = [outputs(path, inputs).argmax(axis=1) for path in (fp32, int8)]
        assert (labels[0] == labels[1]).mean() >= 0.97


class TestFineTuning:
    def test_pretrained_weights_are_used_by_default_and_help(self, digits: Digits) -> None:
        told = Told()
        fitted = fit(
            Network(architecture="efficientnet_lite0"),
            digits("learn"),
            digits("check"),
            transformation=SMALL.model_copy(update={"size": 64, "crop_size": 64}),
            parameters=TrainingParameters(epochs=2, learning_rate=0.004),
            progress=told,
        )
        # Chance is 0.1; how far above depends on the processor's rounding.
        assert fitted.description.metrics["top_1_accuracy"] >= 0.4
        assert fitted.description.training["pretrained"] == require("efficientnet_lite0").name
        assert fitted.description.preprocessing.mean == (127 / 255,) * 3
        assert not any("no pretrained weights" in message for message in told.said)

    def test_without_any_it_says_so(self, digits: Digits, cache: Path) -> None:
        told = Told()
        fitted = quick(digits("few"), digits("few"), network=Network("resnet18"), told=told)
        assert told.said[0].startswith("no pretrained weights for resnet18 in ")
        assert str(cache / "weights") in told.said[0]
        assert fitted.description.training["pretrained"] is None

    def test_a_file_of_weights_is_where_it_starts(self, digits: Digits, tmp_path: Path) -> None:
        first = quick(digits("few"), digits("few"))
        torch.save(first.network.state_dict(), tmp_path / "start.pth")
        network = Network("resnet18", pretrained=tmp_path / "start.pth")
        # At a rate of next to nothing the network stays what it was.
        second = quick(digits("few"), digits("few"), network=network, learning_rate=1e-30, epochs=2)
        assert second.description.training["pretrained"] == "start.pth"
        before, after = dict(first.network.named_parameters()), second.network.named_parameters()
        for name, parameter in after:
            if not name.startswith("fc."):
                assert parameter.equal(before[name]), name


class TestSeeds:
    def test_the_same_seed_gives_the_same_weights_and_another_one_others(
        self, digits: Digits
    ) -> None:
        transformation = SMALL.model_copy(update={"random_erasing": True})
        states = [
            quick(
                digits("few"), digits("few"), transformation=transformation, random_seed=seed
            ).network.state_dict()
            for seed in (5, 5, 6)
        ]
        assert all(value.equal(states[1][name]) for name, value in states[0].items())
        assert not states[0]["fc.weight"].equal(states[2]["fc.weight"])
        assert not states[0]["conv1.weight"].equal(states[2]["conv1.weight"])

    def test_a_seed_may_be_larger_than_torchs(self, digits: Digits) -> None:
        quick(digits("few"), digits("few"), random_seed=2**70)


class TestTransformations:
    def test_what_was_applied_to_the_images_is_the_default(
        self, digits: Digits, tmp_path: Path
    ) -> None:
        applied = Transformation.of({"size": 40, "crop_size": 36, "pad": True, "padding": 2})
        learn = digits("few").with_pending(applied, "training", tmp_path / "learn")
        check = digits("few").with_pending(applied, "inference", tmp_path / "check")
        told = Told()
        fitted = quick(learn, check, transformation=None, told=told)
        assert fitted.description.input_size == (40, 40)
        assert Transformation.of(fitted.description.training["transformation"]) == applied
        assert not [message for message in told.said if "warning" in message]

    def test_images_for_inference_are_not_augmented(self, digits: Digits, tmp_path: Path) -> None:
        applied = Transformation.of({"size": 32, "crop_size": 32})
        learn = digits("few").with_pending(applied, "inference", tmp_path / "learn")
        fitted = quick(learn, digits("few"), transformation=None)
        stored = Transformation.of(fitted.description.training["transformation"])
        assert not stored.has_random_steps

    def test_another_one_than_the_models_is_told(self, digits: Digits, tmp_path: Path) -> None:
        other = Transformation.of({"size": 50, "crop_size": 50})
        learn = digits("few").with_pending(other, "training", tmp_path / "learn")
        told = Told()
        fitted = quick(learn, digits("few"), transformation=SMALL, told=told)
        assert fitted.description.input_size == (32, 32)
        assert told.said[0].startswith(
            "warning: another transformation was applied to the training"
        )

    @pytest.mark.parametrize(
        "parameters",
        [
            {"center_crop": False, "size": 32, "grayscale": True, "pad": True, "padding": 4},
            {"resize": False, "center_crop": False, "random_crop": True, "random_crop_size": 33},
            {"size": 36, "crop_size": 36, "random_resized_crop": True, "random_size": 48},
            {
                "size": 32,
                "crop_size": 32,
                **dict.fromkeys(["color_jitter", "random_erasing"], True),
            },
        ],
    )
    def test_odd_ones_train(self, digits: Digits, parameters: dict[str, Any]) -> None:
        fitted = quick(digits("few"), digits("few"), transformation=Transformation.of(parameters))
        assert math.isfinite(fitted.description.metrics["validation_loss"])


class TestDamagedImages:
    def test_they_are_left_out_counted_and_named(self, tmp_path: Path) -> None:
        folder = write_digits(tmp_path / "files", range(30))
        learn = convert(folder, tmp_path / "learn")
        check = convert(write_digits(tmp_path / "more", range(30, 50)), tmp_path / "check")
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
        cut, gone = folder / names[0], folder / names[1]  # the first would be a sample
        cut.write_bytes(cut.read_bytes()[:-20] + bytes(20))
        gone.unlink()
        told = Told()
        fitted = quick(learn, check, told=told, batch_size=8)
        assert fitted.description.training["unreadable_images"] == 2
        assert told.said[-1] == f"warning: not readable, left out: {names[0]}, {names[1]}"
        assert len(fitted.samples) == 2

    def test_a_batch_of_one_readable_image_is_no_obstacle(self, tmp_path: Path) -> None:
        """Batch norm cannot be trained on one image whose last maps are one pixel wide."""
        folder = write_digits(tmp_path / "files", range(17))
        learn = convert(folder, tmp_path / "learn")
        quick(learn, learn, batch_size=16)
        for path in sorted(folder.rglob("*.png"))[:8]:
            path.write_bytes(path.read_bytes()[:-20] + bytes(20))
        fitted = quick(learn, learn, batch_size=2, epochs=3)
        assert fitted.description.training["unreadable_images"] == 16  # 8 in each of the two

    def test_when_none_is_left_it_ends(self, tmp_path: Path) -> None:
        folder = write_digits(tmp_path / "files", range(12))
        learn = convert(folder, tmp_path / "learn")
        for path in folder.rglob("*.png"):
            path.unlink()
        with pytest.raises(errors.TrainingDataUnusable, match="none that could be decoded"):
            quick(learn, learn, batch_size=4)


class TestRefusals:
    """All of them before anything is trained."""

    def refused(self, *arguments: Any, **options: Any) -> errors.CalotypeError:
        told = Told()
        with pytest.raises(errors.CalotypeError) as caught:
            train(*arguments, listeners=Listeners(told), **{"transformation": SMALL, **options})
        assert told.tasks == []
        assert not list(arguments[-1].parent.glob("*.training"))
        return caught.value

    @pytest.mark.parametrize("unlabeled", ["training", "validation"])
    def test_images_without_labels(self, digits: Digits, tmp_path: Path, unlabeled: str) -> None:
        flat = convert(
            write_digits(tmp_path / "files", range(30)) / "3", tmp_path / "flat", labels="none"
        )
        few = digits("few")
        sets = (flat, few) if unlabeled == "training" else (few, flat)
        error = self.refused(SCRATCH, *sets, tmp_path / "out")
        assert error.number == 24
        assert error.where.startswith(unlabeled)

    def test_a_category_that_is_only_in_validation(self, digits: Digits, tmp_path: Path) -> None:
        folder = write_digits(tmp_path / "files", range(40))
        for path in (folder / "7").iterdir():
            path.unlink()
        (folder / "7").rmdir()
        learn = convert(folder, tmp_path / "learn")
        error = self.refused(SCRATCH, learn, digits("few"), tmp_path / "out")
        assert error.number == 18
        assert "'7'" in error.got
        # The other way round is fine: not every category must be in the validation images.
        quick(digits("few"), learn)

    def test_one_category(self, tmp_path: Path) -> None:
        folder = write_digits(tmp_path / "files", [0, 10, 20, 30])
        one = convert(folder, tmp_path / "one")
        assert one.categories == ["0"]
        assert self.refused(SCRATCH, one, one, tmp_path / "out").number == 83

    @pytest.mark.parametrize(("batch_size", "number"), [(41, 7), (1, 5)])
    def test_batches_of_the_wrong_size(
        self, digits: Digits, tmp_path: Path, batch_size: int, number: int
    ) -> None:
        parameters = TrainingParameters(batch_size=batch_size)
        error = self.refused(
            SCRATCH, digits("few"), digits("few"), tmp_path / "out", parameters=parameters
        )
        assert error.number == number
        assert error.where == "parameter 'batch_size'"

    @pytest.mark.parametrize(
        ("network", "number"),
        [
            (Network("resnet19"), 2),
            (Network("resnet18", {"nonsense": 1}, "none"), 2),
            (Network("vit_tiny_patch16_224", pretrained="none"), 2),
            (Network("resnet18", pretrained=Path("/nothing")), 162),
            (Network("resnet18", pretrained=Path(__file__)), 82),
        ],
    )
    def test_networks_that_cannot_be(
        self, digits: Digits, tmp_path: Path, network: Network, number: int
    ) -> None:
        few = digits("few")
        assert self.refused(network, few, few, tmp_path / "out").number == number

    def test_a_network_that_cannot_be_exported(self, digits: Digits, tmp_path: Path) -> None:
        network = Network("test_vit_relpos", pretrained="none")
        few = digits("few")
        transformation = Transformation.of({"size": 160, "crop_size": 160})
        error = self.refused(network, few, few, tmp_path / "out", transformation=transformation)
        assert error.number == 39
        assert error.where == "ONNX export"
        assert "Cannot view a tensor" in error.got

    def test_a_place_that_is_taken_or_cannot_be_written(
        self, digits: Digits, tmp_path: Path
    ) -> None:
        (tmp_path / "letter.txt").write_text("Dear Anna")
        few = digits("few")
        # The place is looked at first, before even the architecture.
        unknown = Network("resnet19")
        assert self.refused(unknown, few, few, tmp_path).number == 57
        assert self.refused(unknown, few, few, tmp_path / "letter.txt" / "model").number == 46

    @pytest.mark.parametrize(
        ("name", "value", "number"),
        [
            ("epochs", 0, 4),
            ("epochs", "many", 2),
            ("batch_size", 0, 4),
            ("learning_rate", 0, 4),
            ("learning_rate", -1, 4),
            ("learning_rate", float("nan"), 2),
            ("learning_rate", float("inf"), 2),
            ("random_seed", -1, 5),
            ("random_seed", 1.5, 2),
            ("patience", 0, 4),
            ("warm_up", 1, 2),
        ],
    )
    def test_parameters_out_of_range(self, name: str, value: Any, number: int) -> None:
        with pytest.raises(errors.ParameterError) as caught:
            TrainingParameters.of({name: value})
        assert caught.value.number == number
        assert name in caught.value.where

    def test_the_documented_defaults(self) -> None:
        documented = {
            "epochs": 5,
            "batch_size": 16,
            "learning_rate": 0.001,
            "random_seed": 1,
            "patience": 3,
            "print_frequency": 10,
        }
        assert documented.items() <= TrainingParameters.of({}).model_dump().items()


class TestSaving:
    def test_an_earlier_model_is_replaced(self, digits: Digits, tmp_path: Path) -> None:
        """And what is saved are the weights of the network that was trained."""
        folder = tmp_path / "model"
        expected = quick(digits("few"), digits("few"))
        image_model.save(folder, expected.description, {"old.txt": "old"})
        trained = train(
            SCRATCH,
            digits("few"),
            digits("few"),
            folder,
            transformation=SMALL,
            parameters=QUICK,
        )
        assert not (folder / "old.txt").exists()
        weights = load_file(trained.file(image_model.WEIGHTS))
        assert all(value.equal(weights[n]) for n, value in expected.network.state_dict().items())
