"""The service of an image model: requests in, predictions out."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import Any, Final

from PIL import Image

from calotype.images.formats import ImageLimits
from calotype.models.image_model import ImageModel
from calotype.progress import SILENCE, Progress
from calotype.scoring.precision import PrecisionChoice
from calotype.scoring.scorer import Scorer
from calotype.serving.exchange import Answer, Request
from calotype.serving.images.alone import LARGEST_BYTES, open_alone
from calotype.serving.images.contract import contract_of
from calotype.serving.images.freed_memory import give_back
from calotype.serving.images.inputs import Inputs
from calotype.serving.images.options import read_options
from calotype.serving.images.runners import Infer, Runners
from calotype.serving.images.sample import sample_of
from calotype.serving.images.unsupported import looks_like_image
from calotype.serving.images.work import Job
from calotype.serving.openapi.contract import ServiceContract
from calotype.serving.service import State
from calotype.serving.settings import ServiceSettings

# To read a body of JSON of this size takes less than to hand it to a thread and back.
_READ_AT_ONCE_BYTES: Final = 64 << 10


class ImageService:
    """Scores images with one model, each request answered as `Scorer.predict` would.

    Args:
        model: an image model, or the path of one.
        settings: limits and deadlines.
        precision: see `Scorer`.
        threads: how many runners decode and infer, each with one core (None: one a core).
        exact_decode: decode JPEGs at full size.
        calibrated: divide logits by the model's temperature, if it has one.
        largest_model_for_all_cores: up to this many bytes, the model is loaded a second time, for
            requests that are alone: all cores then work on their image. 0: never.
        progress: is told about doubtful choices.
    """

    def __init__(
        self,
        model: ImageModel | str | Path,
        settings: ServiceSettings,
        *,
        precision: PrecisionChoice = "auto",
        threads: int | None = None,
        exact_decode: bool = False,
        calibrated: bool = True,
        largest_model_for_all_cores: int = LARGEST_BYTES,
        progress: Progress = SILENCE,
    ) -> None:
        self.state: State = "starting"
        self.methods = frozenset({"POST"})
        self.contract = ServiceContract()
        self.settings = settings
        self._model = model
        self._options: dict[str, Any] = {
            "precision": precision,
            "threads": threads,
            "exact_decode": exact_decode,
            "calibrated": calibrated,
            "progress": progress,
        }
        self._largest_bytes = largest_model_for_all_cores
        self._inputs = Inputs(settings)
        self._runners: Runners | None = None
        self._scorer: Scorer | None = None

    @property
    def scorer(self) -> Scorer:
        """What scores; there once the service has started."""
        assert self._scorer is not None
        return self._scorer

    @property
    def runners(self) -> int:
        """How many threads score."""
        return self._runners.count if self._runners else 0

    @property
    def busy_runners(self) -> int:
        """How many of them have something to do."""
        return self._runners.queue.busy if self._runners else 0

    @property
    def queue_depth(self) -> int:
        """How many requests wait for their turn."""
        return self._runners.queue.waiting if self._runners else 0

    async def start(self) -> None:
        """Load the model, score its sample once and come back when ready.

        Raises:
            CalotypeError: the model cannot be used; see `Scorer`.
        """
        try:
            self._scorer, infer_alone = await asyncio.to_thread(self._load)
        except BaseException:
            self.state = "failed"
            raise
        # Its warning about large pictures is for those who have no limit; we have.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        self._runners = Runners(self._scorer, self.settings, infer_alone=infer_alone)
        self._runners.start()
        self.state = "ready"

    def _load(self) -> tuple[Scorer, Infer | None]:
        limits = ImageLimits(
            max_pixels=self.settings.max_image_pixels, max_bytes=self.settings.max_image_bytes
        )
        scorer = Scorer(self._model, limits=limits, **self._options)
        sample = sample_of(scorer.model)
        self.contract = contract_of(sample, scorer.predict(sample), self.settings)
        infer_alone = open_alone(scorer, largest_bytes=self._largest_bytes)
        give_back()
        return scorer, infer_alone

    async def score(self, request: Request) -> Answer:
        """Return the predictions for the images of a request.

        Raises:
            Refusal: for the caller.
        """
        assert self._runners is not None
        options = read_options(request.query)
        job = Job(request, options, self._inputs.reader_of(request))
        if len(request.body) <= _READ_AT_ONCE_BYTES or looks_like_image(request.body[:64]):
            job.read_body()
        try:
            return Answer(body=await self._runners.score(job))
        finally:
            job.write_timings()

    async def stop(self) -> None:
        """End the runners."""
        self.state = "stopped"
        if self._runners is not None:
            await asyncio.to_thread(self._runners.stop)
