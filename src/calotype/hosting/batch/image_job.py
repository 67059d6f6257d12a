"""A batch job with an image model: `calotype score` in the background, its result bit for bit."""

from __future__ import annotations

import collections
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from calotype import files
from calotype.hosting.batch.predictions import LOCK
from calotype.hosting.batch.script_job import check_threshold
from calotype.hosting.batch.settings import BatchSettings
from calotype.progress import SILENCE, Progress
from calotype.scored_dataset import ERRORS_FILE, RUN_FILE, SCORED_LABELS, ScoredDataset
from calotype.scoring.score import score

if TYPE_CHECKING:
    from calotype.scoring.precision import PrecisionChoice

_LOOK_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class ImageJob:
    """All that decides about the rows, and where they go.

    Attributes:
        model: an image model.
        images: any source of images.
        out: the folder of the result.
        scratch: where the table lies that is not kept, with `summary_only`.
        settings: threshold and kind of output.
        precision: as for the Scorer.
        part_s: at most this many seconds of work are lost when the process is killed.
    """

    model: Path
    images: Path
    out: Path
    scratch: Path
    settings: BatchSettings
    precision: PrecisionChoice = "auto"
    part_s: float = 5.0

    def run(self, progress: Progress = SILENCE) -> dict[str, Any]:
        """Score all images, or those that an earlier run has left; return `run.json`.

        Raises:
            OperationFailed: more images failed than the threshold allows.
            CalotypeError: as `calotype score`.
        """
        from calotype.scoring.scorer import Scorer

        is_kept = self.settings.output_action == "append_row"
        folder = self.out if is_kept else self.scratch / "scored"
        scorer = Scorer(self.model, self.precision, progress=progress)
        watched = _Watched(progress, folder, self.settings.error_threshold)
        made = score(scorer, self.images, folder, resume=True, part_s=self.part_s, progress=watched)
        run = made.run
        check_threshold(run["counts"]["errors"], self.settings.error_threshold)
        return run if is_kept else self._summarised(folder, run)

    def _summarised(self, scored: Path, run: dict[str, Any]) -> dict[str, Any]:
        """Keep the counts and what failed."""
        labels: collections.Counter[str] = collections.Counter()
        for rows in ScoredDataset.load(scored).batches([SCORED_LABELS]):
            labels.update(rows.column(0).to_pylist())
        run = {**run, "labels": dict(labels.most_common()), "parts": []}
        with files.locked(self.out / LOCK, what=str(self.out)):
            if (scored / ERRORS_FILE).exists():
                shutil.copyfile(scored / ERRORS_FILE, self.out / ERRORS_FILE)
            files.write_json(self.out / RUN_FILE, run)
        shutil.rmtree(scored)
        return run


class _Watched:
    """Passes progress on, and ends a run of which too many images have failed."""

    def __init__(self, inner: Progress, folder: Path, threshold: int) -> None:
        self._inner = inner
        self._run = folder / RUN_FILE
        self._threshold = threshold
        self._looked_s = time.monotonic()

    def begin(self, task: str, *, total: int | None, unit: str) -> None:
        self._inner.begin(task, total=total, unit=unit)

    def advance(self, count: int = 1, *, note: str = "") -> None:
        self._inner.advance(count, note=note)
        now_s = time.monotonic()
        if self._threshold >= 0 and now_s - self._looked_s > _LOOK_EVERY_S:
            self._looked_s = now_s
            if self._run.exists():  # not while the headers of the images are being read
                parts = files.read_json(self._run)["parts"]
                check_threshold(sum(part["errors"] for part in parts), self._threshold)

    def end(self) -> None:
        self._inner.end()

    def say(self, message: str) -> None:
        self._inner.say(message)
