"""The sample pipeline, run through the modules alone, on crops of real photographs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image
from sklearn.datasets import load_sample_image

from calotype import errors, modules
from calotype.evaluation import evaluate
from calotype.images.image_directory import ImageDirectory
from calotype.images.transformation import Transformation
from calotype.models.image_model import ImageModel
from calotype.modules import Context
from calotype.progress import Silence
from calotype.scored_dataset import ScoredDataset
from calotype.scoring.optimize import faster_precisions
from calotype.scoring.score import score
from calotype.scoring.scorer import Scorer

IMAGES_PER_CATEGORY = 16
EPOCHS = 2


class Messages(Silence):
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


@dataclass
class Pipeline:
    """Runs modules in one folder: inputs and outputs are names in it."""

    folder: Path
    messages: Messages = field(default_factory=Messages)
    epochs_seen: list[int] = field(default_factory=list[int])

    def run(
        self, module: str, inputs: Mapping[str, str], outputs: Mapping[str, str], **values: Any
    ) -> None:
        modules.execute(
            modules.find(module),
            {port: self.folder / name for port, name in inputs.items()},
            {port: self.folder / name for port, name in outputs.items()},
            values,
            context=Context(
                progress=self.messages, metrics=lambda rows: self.epochs_seen.append(len(rows))
            ),
        )

    def images(self, name: str) -> ImageDirectory:
        return ImageDirectory.load(self.folder / name)

    def rows(self, scored: str) -> list[dict[str, Any]]:
        dataset = ScoredDataset.load(self.folder / scored)
        return [row for batch in dataset.batches() for row in batch.to_pylist()]

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())


def write_photographs(folder: Path) -> None:
    """Write crops of three photographs, 20 x 20 pixels, a folder for each."""
    photographs = {
        "coffee": skimage.data.coffee(),
        "flower": load_sample_image("flower.jpg"),
        "temple": load_sample_image("china.jpg"),
    }
    places = np.random.default_rng(0)
    for category, photograph in photographs.items():
        (folder / category).mkdir(parents=True)
        for number in range(IMAGES_PER_CATEGORY):
            y, x = (int(places.integers(0, side - 80)) for side in photograph.shape[:2])
            crop = Image.fromarray(photograph[y : y + 80, x : x + 80]).resize((20, 20))
            crop.save(folder / category / f"{number:02}.png")


def apply(pipeline: Pipeline, images: str, out: str, mode: str) -> None:
    inputs = {"input_image_transformation": "transformation", "input_image_directory": images}
    outputs = {"output_image_directory": out}
    pipeline.run("apply_image_transformation", inputs, outputs, mode=mode)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    made = Pipeline(tmp_path_factory.mktemp("pipeline"))
    write_photographs(made.folder / "photographs")
    made.run(
        "convert_to_image_directory",
        {"input_dataset": "photographs"},
        {"output_image_directory": "images"},
    )
    made.run(
        "split_image_directory",
        {"input_image_directory": "images"},
        {"output_image_directory1": "part1", "output_image_directory2": "part2"},
        fraction=0.75,
    )
    made.run(
        "init_image_transformation",
        {},
        {"output_image_transformation": "transformation"},
        size=32,
        crop_size=32,
    )
    apply(made, "part1", "training", "For training")
    apply(made, "part2", "validation", "For inference")
    made.run(
        "resnet", {}, {"untrained_model": "untrained"}, model_name="resnet18", pretrained=False
    )
    made.run(
        "train_pytorch_model",
        {
            "untrained_model": "untrained",
            "training_dataset": "training",
            "validation_dataset": "validation",
        },
        {"trained_model": "model"},
        epochs=EPOCHS,
        batch_size=8,
        learning_rate=0.01,
    )
    made.run(
        "score_image_model",
        {"trained_model": "model", "dataset": "validation"},
        {"scored_dataset": "scored"},
        precision="fp32",
    )
    made.run("evaluate_model", {"scored_dataset": "scored"}, {"evaluation_results": "results"})
    return made


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("images", "convert_to_image_directory"),
        ("part1", "split_image_directory"),
        ("part2", "split_image_directory"),
        ("transformation", "init_image_transformation"),
        ("training", "apply_image_transformation"),
        ("untrained", "resnet"),
        ("model", "train_pytorch_model"),
        ("scored", "score_image_model"),
        ("results", "evaluate_model"),
    ],
)
def test_each_output_is_of_the_type_of_its_port(pipeline: Pipeline, name: str, module: str) -> None:
    (declared,) = modules.find(module).outputs[-1].types
    assert modules.type_of(pipeline.folder / name) is declared


def test_convert_takes_folders_as_categories(pipeline: Pipeline) -> None:
    counts = pipeline.images("images").info.counts.categories
    assert counts == dict.fromkeys(["coffee", "flower", "temple"], IMAGES_PER_CATEGORY)


def test_split_divides_each_category(pipeline: Pipeline) -> None:
    counts = [pipeline.images(name).info.counts.categories for name in ("part1", "part2")]
    assert [set(one.values()) for one in counts] == [{12}, {4}]


def test_split_is_decided_by_its_seed(pipeline: Pipeline, tmp_path: Path) -> None:
    def ids(seed: int) -> list[int]:
        out = tmp_path / str(seed)
        again = Pipeline(pipeline.folder)
        again.run(
            "split_image_directory",
            {"input_image_directory": "images"},
            {"output_image_directory1": f"{out}/1", "output_image_directory2": f"{out}/2"},
            fraction=0.75,
            random_seed=seed,
        )
        return ImageDirectory.load(out / "1").ids().tolist()

    assert ids(0) == pipeline.images("part1").ids().tolist()
    assert ids(1) != ids(0)


def test_apply_attaches_the_transformation_in_its_mode(pipeline: Pipeline) -> None:
    wanted = Transformation.of({"size": 32, "crop_size": 32})
    for name, mode in (("training", "training"), ("validation", "inference")):
        pending = pipeline.images(name).pending
        assert pending is not None
        assert (pending.mode, pending.transformation) == (mode, wanted)


def test_the_model_carries_what_it_was_made_of(pipeline: Pipeline) -> None:
    model = ImageModel.load(pipeline.folder / "model")
    architecture, training = model.description.architecture, model.description.training
    assert model.classes == ("coffee", "flower", "temple")
    assert model.input_size == (32, 32)
    assert architecture.model_dump() == {
        "name": "resnet18",
        "arguments": {"zero_init_residual": False},
    }
    assert training["pretrained"] is None
    assert (training["epochs"], training["learning_rate"]) == (EPOCHS, 0.01)
    assert training["transformation"]["random_horizontal_flip"] is True


def test_training_tells_how_it_goes(pipeline: Pipeline) -> None:
    epochs = [said for said in pipeline.messages.said if said.startswith("epoch ")]
    assert len(epochs) == EPOCHS
    assert "validation loss" in epochs[0]


def test_training_measures_the_faster_precisions_of_this_machine(pipeline: Pipeline) -> None:
    model = ImageModel.load(pipeline.folder / "model")
    measured = {f"openvino:{precision}" for precision in faster_precisions()}
    assert set(model.description.precisions) == measured


def test_scoring_gives_a_row_for_each_image(pipeline: Pipeline) -> None:
    rows = pipeline.rows("scored")
    expected = [(one.id, one.path, one.category) for one in pipeline.images("part2").entries()]
    assert [(row["id"], row["path"], row["category"]) for row in rows] == expected
    assert list(rows[0])[3:] == [
        "Scored Probabilities_coffee",
        "Scored Probabilities_flower",
        "Scored Probabilities_temple",
        "Scored Labels",
    ]


def test_scoring_finds_nothing_to_warn_of(pipeline: Pipeline) -> None:
    assert pipeline.json("scored/run.json")["warnings"] == []


def test_evaluation_measures_the_scored_rows(pipeline: Pipeline) -> None:
    rows = pipeline.rows("scored")
    right = sum(row["category"] == row["Scored Labels"] for row in rows)
    evaluation = pipeline.json("results/evaluation.json")
    assert evaluation["overall_accuracy"]["value"] == pytest.approx(right / len(rows))


def test_evaluation_finds_what_training_has_measured(pipeline: Pipeline, tmp_path: Path) -> None:
    metrics = ImageModel.load(pipeline.folder / "model").metrics
    evaluation = pipeline.json("results/evaluation.json")
    assert evaluation["overall_accuracy"]["value"] == pytest.approx(metrics["top_1_accuracy"])
    assert evaluation["ece"]["value"] == pytest.approx(metrics["ece"], abs=1e-4)
    scorer = Scorer(pipeline.folder / "model", "fp32", calibrated=False)  # as training looks at it
    scored = score(scorer, pipeline.images("part2"), tmp_path / "scored")
    found = evaluate(scored.path, out=tmp_path / "results", resamples=10).sets[0].estimates
    assert found["log_loss"].value == pytest.approx(metrics["validation_loss"], rel=1e-3)
    assert found["ece"].value == pytest.approx(metrics["ece_before_calibration"], abs=1e-4)


def test_two_scored_datasets_are_compared(pipeline: Pipeline) -> None:
    inputs = {"trained_model": "model", "dataset": "training"}
    pipeline.run("score_image_model", inputs, {"scored_dataset": "scored2"}, precision="fp32")
    pipeline.run(
        "evaluate_model",
        {"scored_dataset": "scored", "scored_dataset_to_compare": "scored2"},
        {"evaluation_results": "comparison"},
    )
    both = pipeline.json("comparison/evaluation.json")
    alone = pipeline.json("results/evaluation.json")
    assert len(both) == 2
    assert both[0]["overall_accuracy"] == alone["overall_accuracy"]


def test_scoring_passes_its_parameters_on(pipeline: Pipeline) -> None:
    inputs = {"trained_model": "model", "dataset": "validation"}
    outputs = {"scored_dataset": "scored3"}
    pipeline.run("score_image_model", inputs, outputs, precision="fp32", exact_decode=True)
    run = pipeline.json("scored3/run.json")
    assert (run["precision"], run["exact_decode"]) == ("fp32", True)


@pytest.fixture
def others(pipeline: Pipeline, tmp_path: Path) -> Pipeline:
    """Images of a category that the model does not know, one of them cut off in the middle."""
    content = (pipeline.folder / "photographs" / "coffee" / "00.png").read_bytes()
    (tmp_path / "others" / "tea").mkdir(parents=True)
    (tmp_path / "others" / "tea" / "1.png").write_bytes(content)
    (tmp_path / "others" / "tea" / "2.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "model").symlink_to(pipeline.folder / "model")
    made = Pipeline(tmp_path)
    made.run(
        "convert_to_image_directory",
        {"input_dataset": "others"},
        {"output_image_directory": "images"},
    )
    return made


SCORING = {"trained_model": "model", "dataset": "images"}


def test_unknown_categories_are_warned_of(others: Pipeline) -> None:
    others.run("score_image_model", SCORING, {"scored_dataset": "scored"})
    assert [said for said in others.messages.said if "'tea'" in said] != []


def test_unknown_categories_fail_when_the_check_is_strict(others: Pipeline) -> None:
    with pytest.raises(errors.SchemaMismatch, match="'tea'"):
        others.run(
            "score_image_model", SCORING, {"scored_dataset": "scored"}, schema_check="strict"
        )


def test_unreadable_images_are_listed(others: Pipeline) -> None:
    others.run("score_image_model", SCORING, {"scored_dataset": "scored"}, schema_check="off")
    assert [row["path"] for row in others.rows("scored")] == ["tea/1.png"]
    unreadable = ScoredDataset.load(others.folder / "scored").errors().to_pylist()
    assert [(row["path"], row["error_number"]) for row in unreadable] == [("tea/2.png", 48)]


def test_unreadable_images_fail_when_asked(others: Pipeline) -> None:
    with pytest.raises(errors.UnreadableFile, match=r"tea/2\.png"):
        others.run("score_image_model", SCORING, {"scored_dataset": "scored"}, on_error="fail")


def test_wanted_weights_that_are_missing_stop_the_training(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    pipeline.run("densenet", {}, {"untrained_model": "densenet"}, model_name="densenet121")
    with pytest.raises(errors.WeightsNotFound, match="'densenet121'") as caught:
        pipeline.run(
            "train_pytorch_model",
            {
                "untrained_model": "densenet",
                "training_dataset": "training",
                "validation_dataset": "validation",
            },
            {"trained_model": "never"},
        )
    assert caught.value.number == 162
    assert not (pipeline.folder / "never").exists()


def test_nothing_runs_when_an_input_is_of_another_type(pipeline: Pipeline) -> None:
    with pytest.raises(errors.InvalidDataset, match="Convert to Image Directory"):
        pipeline.run(
            "score_image_model",
            {"trained_model": "model", "dataset": "photographs"},
            {"scored_dataset": "never"},
        )
    assert not (pipeline.folder / "never").exists()


def test_parameters_are_checked_before_inputs(pipeline: Pipeline) -> None:
    with pytest.raises(errors.NotGreater, match="Train PyTorch Model: parameter 'epochs'"):
        pipeline.run("train_pytorch_model", {}, {"trained_model": "never"}, epochs=0)


def test_an_image_directory_of_the_original_is_taken(pipeline: Pipeline) -> None:
    folder = pipeline.folder / "original"
    (folder / "image").mkdir(parents=True)
    listed = ""
    for number, category in enumerate(["coffee", "flower"] * 2):
        content = (pipeline.folder / "photographs" / category / "00.png").read_bytes()
        (folder / "image" / f"{number}.png").write_bytes(content)
        row = {"image_info": {"file_name": f"image/{number}.png"}, "category": category}
        listed += json.dumps({**row, "id": number}) + "\n"
    (folder / "images.lst").write_text(listed)
    (folder / "_meta.yaml").write_text("type: ImageDirectory\nimage_list: images.lst\n")
    columns = [{"name": "image"}, {"name": "id"}, {"name": "category"}]
    (folder / "_schema.json").write_text(json.dumps({"columnAttributes": columns}))

    pipeline.run(
        "split_image_directory",
        {"input_image_directory": "original"},
        {"output_image_directory1": "original1", "output_image_directory2": "original2"},
        fraction=0.5,
    )

    first = pipeline.images("original1")
    assert first.categories == ["coffee", "flower"]
    with first.reader() as reader:
        content = [reader.read(entry) for entry in first.entries()]
    assert len(content) == 2
