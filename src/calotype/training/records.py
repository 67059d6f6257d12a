"""What can be seen of a run: a table and a page of its epochs, written anew after each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from calotype import files
from calotype.images.image_directory import ImageDirectory
from calotype.training import page
from calotype.training.checkpoints import PAGE, TABLE
from calotype.training.epochs import write_epochs
from calotype.training.job import Job
from calotype.training.outcome import EpochMetrics, Listeners, Outcome


@dataclass(frozen=True, slots=True)
class Records:
    """Keeps the table and the page of one run.

    Attributes:
        folder: where they are written while it goes on.
        job: what is trained.
        training: the images to learn from.
        validation: the images to choose the epoch by.
    """

    folder: Path
    job: Job
    training: ImageDirectory
    validation: ImageDirectory

    def listening(self, listeners: Listeners) -> Listeners:
        """Return listeners that also write the records."""

        def on_epochs(epochs: Sequence[EpochMetrics]) -> None:
            write_epochs(self.folder / TABLE, [asdict(metrics) for metrics in epochs])
            files.write_text(self.folder / PAGE, self._page(epochs, kept=None))
            listeners.on_epochs(epochs)

        return Listeners(listeners.progress, on_epochs)

    def final(self, outcome: Outcome) -> dict[str, Path | str]:
        """Return the files that the model keeps: their names, and their text or where they lie."""
        # Anew: a kill may have come between the last checkpoint and its row.
        write_epochs(self.folder / TABLE, [asdict(metrics) for metrics in outcome.epochs])
        return {TABLE: self.folder / TABLE, PAGE: self._page(outcome.epochs, kept=outcome)}

    def _page(self, epochs: Sequence[EpochMetrics], *, kept: Outcome | None) -> str:
        best = min(epochs, key=lambda metrics: metrics.validation_loss)
        if self.job.parameters.recipe == "classic":  # keeps the last one
            best = epochs[-1]
        return page.render(
            [asdict(metrics) for metrics in epochs],
            self._facts(kept),
            kept_epoch=kept.kept.epoch if kept else best.epoch,
            is_running=kept is None,
            epochs=self.job.parameters.epochs,
            title=f"Training of {self.folder.stem}",
        )

    def _facts(self, outcome: Outcome | None) -> list[tuple[str, str]]:
        job, parameters = self.job, self.job.parameters
        height, width = job.preprocessing.input_size
        counts = self.training.info.counts.categories
        facts = [
            ("Architecture", job.architecture),
            ("Started from", job.weights.name if job.weights else "random weights"),
            ("Training images", f"{len(self.training):,} in {len(counts):,} categories"),
            ("Validation images", f"{len(self.validation):,}"),
            ("Input", f"{height} × {width} pixels"),
            ("Batch size", f"{parameters.batch_size}"),
            ("Learning rate", f"{parameters.learning_rate}"),
            ("Recipe", parameters.recipe),
            ("Random seed", f"{parameters.random_seed}"),
        ]
        if outcome is not None:
            facts[6] = ("Learning rate", f"{outcome.learning_rate:.3g}")
            facts.append(("Ended by", _ENDS[outcome.stopped]))
        return facts


_ENDS = {
    "epochs": "the number of epochs",
    "patience": "patience: no lower validation loss",
    "time": "the time budget",
    "interrupt": "an interruption",
}
