"""The threads that decode and infer, and the way back to the event loop.

Each has one core: it decodes an image or a few into its own batch and runs the network on them, on
a session that all share. The event loop only hears of requests that are done, of several at once
where they end together.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from calotype import errors
from calotype.images.decode import Picture
from calotype.scoring.runtimes import Batch
from calotype.scoring.scorer import Scorer
from calotype.serving import refusals
from calotype.serving.images.answers import Encoder
from calotype.serving.images.inputs import content_of, unreadable
from calotype.serving.images.turn_queue import TurnQueue, gone
from calotype.serving.images.work import Failure, Item, Job
from calotype.serving.refusals import Refusal
from calotype.serving.settings import ServiceSettings
from calotype.serving.waiting import Sweeper

logger = logging.getLogger("calotype.serving")

Infer = Callable[[Batch], NDArray[np.float32]]


class Runners:
    """Scores jobs on threads; made and used from one event loop.

    Args:
        scorer: decodes, infers and names the classes; has as many threads.
        settings: the limits.
        infer_alone: runs the network on one image with all cores, bit-identically; None: nothing
            does.
    """

    def __init__(
        self, scorer: Scorer, settings: ServiceSettings, *, infer_alone: Infer | None = None
    ) -> None:
        self.count = scorer.threads
        self._scorer = scorer
        self._settings = settings
        self._infer_alone = infer_alone
        self._preprocessor = scorer.preprocessor_for(scorer.model.preprocessing)
        self._encoder = Encoder(scorer.classes)
        # Larger batches than those of the folder would gain 3 % on ResNet-18 and lose 10 % on
        # EfficientNet-Lite0, whose activations leave the cache; all would wait longer.
        self._most_together = scorer.runtime.batch_size
        self._loop = asyncio.get_running_loop()
        self.queue = TurnQueue(
            runners=self.count,
            most_waiting=settings.max_queued_requests,
            longest_wait_ms=settings.max_request_wait_ms,
            most_together=self._most_together,
            refuse=self._fail,
        )
        self._sweeper = Sweeper(self._sweep)
        self._done: collections.deque[Job] = collections.deque()
        self._count_lock = threading.Lock()
        self._is_waking = False
        self._threads = [
            threading.Thread(target=self._run, name=f"runner-{index}", daemon=True)
            for index in range(self.count)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads after what they are doing; blocks until then."""
        self.queue.close()
        for thread in self._threads:
            thread.join()

    async def score(self, job: Job) -> bytes:
        """Return the body of the answer to a job.

        Raises:
            Refusal: no capacity, not in time, or its one image cannot be scored.
        """
        if job.read is None and not job.todo:
            self._encode(job)
            self._settle(job)
            return job.future.result()
        self.queue.put(job)
        self._sweeper.wake()
        timeout_s = self._settings.scoring_timeout_ms / 1e3
        timer = self._loop.call_later(timeout_s, self._give_up, job)
        try:
            return await job.future
        finally:
            timer.cancel()
            job.is_over = True  # also when we are cancelled; the next sweep frees its place

    def _give_up(self, job: Job) -> None:
        self._fail(job, refusals.timed_out(self._settings.scoring_timeout_ms))

    def _sweep(self) -> bool:
        self.queue.sweep()
        return not self.queue.is_empty

    def _run(self) -> None:
        shape = self._preprocessor.preprocessing.input_shape(self._most_together)
        batch = np.empty(shape, np.float32)
        turn = self.queue.take(was_busy=False)
        while turn is not None:
            jobs = [turn.body_of] if turn.body_of else [job for job, _ in turn.work]
            try:
                if turn.body_of is not None:
                    self._read_body(turn.body_of)
                else:
                    infer = self._scorer.infer
                    if turn.is_alone and self._infer_alone is not None:
                        infer = self._infer_alone
                    self._score(turn.work, batch, infer)
            except Exception:  # whatever it is, it must cost these requests only
                logger.exception("A runner failed; its requests are answered with 500.")
                for job in jobs:
                    self._fail(job, refusals.internal_error())
            turn = self.queue.take(was_busy=True)

    def _read_body(self, job: Job) -> None:
        try:
            job.read_body()
        except Refusal as refusal:
            self._fail(job, refusal)
            return
        if job.todo:
            self.queue.put_back(job)
        else:
            self._encode(job)
            self._hand_over(job)

    def _score(self, work: list[tuple[Job, Item]], batch: Batch, infer: Infer) -> None:
        loaded: list[tuple[Job, Item, Picture]] = []
        for job, item in work:
            if not job.is_over and job.request.is_abandoned:
                self._fail(job, gone())
            if job.is_over:
                continue
            picture = self._load(job, item, batch[len(loaded)])
            if picture is not None:
                loaded.append((job, item, picture))
        if loaded:
            self._infer(loaded, batch[: len(loaded)], infer)
        for job, _ in work:
            self._count_down(job)

    def _load(self, job: Job, item: Item, out: NDArray[np.float32]) -> Picture | None:
        """Make the network's input of an image, or write down why that cannot be."""
        started_s = time.perf_counter()
        content = content_of(item.image, self._settings.max_image_bytes)
        item.image = b""  # the body is held by the request; its copy is not needed any more
        picture = None
        if isinstance(content, Failure):
            item.failure = content
        else:
            try:
                picture = self._preprocessor.decode(content, where="")
                self._preprocessor.normalize(self._preprocessor.crop(picture), out)
            except errors.FileError as error:
                item.failure = self._failure(job, content, error)
            except MemoryError:
                raise
            except Exception:  # Pillow's parsers raise more than they document for damaged files
                logger.warning("An image could not be decoded.", exc_info=True)
                why = "Expected a readable image. Got one that is damaged."
                item.failure, picture = unreadable(content, b"", why), None
        item.decode_ms = (time.perf_counter() - started_s) * 1e3
        return picture

    def _failure(self, job: Job, content: bytes, error: errors.FileError) -> Failure:
        if isinstance(error, errors.ImageTooLarge):
            most = self._settings.max_image_pixels
            return Failure(
                413,
                f"Expected an image of at most {most:,} pixels (max_image_pixels). "
                f"Got {error.got}.",
            )
        content_type = job.request.header(b"content-type") or b""
        sentence = str(error)
        return unreadable(content, content_type, sentence[:1].upper() + sentence[1:])

    def _infer(self, loaded: list[tuple[Job, Item, Picture]], batch: Batch, infer: Infer) -> None:
        started_s = time.perf_counter()
        probabilities = infer(batch)
        infer_ms = (time.perf_counter() - started_s) * 1e3
        images_of = collections.Counter(id(job) for job, _, _ in loaded)
        is_finite: list[bool] = np.logical_and.reduce(np.isfinite(probabilities), axis=1).tolist()
        for (job, item, picture), row, usable in zip(loaded, probabilities, is_finite, strict=True):
            item.infer_ms = infer_ms / images_of[id(job)]
            if not usable:
                item.failure = Failure(500, "The model gives no finite numbers for this image.")
                continue
            item.probabilities = row
            if job.options.explain:
                self._explain(item, picture)

    def _explain(self, item: Item, picture: Picture) -> None:
        from calotype.scoring.explain import explain

        started_s = time.perf_counter()
        found = explain(self._scorer, picture, label=None, method="auto")
        item.explanation = found.data_uri()
        item.infer_ms += (time.perf_counter() - started_s) * 1e3

    def _count_down(self, job: Job) -> None:
        with self._count_lock:
            job.left -= 1
            is_last = job.left == 0
        if is_last and not job.is_over:
            self._encode(job)
            self._hand_over(job)

    def _encode(self, job: Job) -> None:
        assert job.reading is not None
        started_s = time.perf_counter()
        try:
            job.answer = job.reading.layout.encode(self._encoder, job.reading.items, job.options)
        except Refusal as refusal:
            job.error = refusal
        job.encode_ms = (time.perf_counter() - started_s) * 1e3

    def _fail(self, job: Job, refusal: Refusal) -> None:
        if not job.is_over:
            job.is_over = True
            job.error = refusal
            self._hand_over(job)

    def _hand_over(self, job: Job) -> None:
        """Give a job back to the event loop; one wake-up serves all that come before it runs."""
        self._done.append(job)
        if not self._is_waking:
            self._is_waking = True
            self._loop.call_soon_threadsafe(self._settle_all)

    def _settle_all(self) -> None:
        self._is_waking = False  # before the first is taken: whatever comes later wakes again
        while self._done:
            self._settle(self._done.popleft())

    def _settle(self, job: Job) -> None:
        if job.future.done():
            return
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.answer)
