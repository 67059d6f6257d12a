"""A batch job with a script: mini-batches to workers, their rows into one table."""

from __future__ import annotations

import collections
import queue
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calotype import __version__, errors, files
from calotype.hosting.batch.image_items import ImageItems
from calotype.hosting.batch.mini_batches import Items, MiniBatch, failures_of, mini_batches
from calotype.hosting.batch.predictions import LOCK, PredictionsWriter
from calotype.hosting.batch.settings import BatchSettings
from calotype.hosting.batch.worker_client import BatchScript, MiniBatchFailed, WorkerClient
from calotype.progress import SILENCE, Progress
from calotype.tables import ArrowTable

Opening = Callable[[Path, Progress], AbstractContextManager[Items]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a mini-batch.

    Attributes:
        rows: what `run` returned; None when it failed to the last attempt.
        failures: rows of `errors.parquet`.
    """

    batch: MiniBatch
    rows: ArrowTable | None = None
    failures: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


@dataclass(frozen=True, slots=True)
class ScriptJob:
    """All that decides about the rows, and where they go.

    Attributes:
        script: with `run(mini_batch)`.
        identity: of script and models: a job is only continued with the very same.
        source: any source of images, or of rows.
        out: the folder of the result.
        scratch: where files of a mini-batch are made that are none yet.
        settings: how the mini-batches are made and treated.
        workers: processes that run the script.
        part_s: at most this many seconds of work are lost when the process is killed.
        opened: finds the images or rows at the source.
    """

    script: BatchScript
    identity: Mapping[str, Any]
    source: Path
    out: Path
    scratch: Path
    settings: BatchSettings
    workers: int = 1
    part_s: float = 5.0
    opened: Opening = ImageItems.opened

    def run(self, progress: Progress = SILENCE) -> dict[str, Any]:
        """Send everything through the script, or what an earlier run has left; `run.json`.

        Raises:
            ScriptFailed: the script cannot be started.
            OperationFailed: more failed than the threshold allows.
            Busy: another job writes into the same folder.
            AlreadyExists: `out` holds something else.
        """
        with (
            self.opened(self.source, progress) as items,
            files.locked(self.out / LOCK, what=str(self.out)),
        ):
            writer = self._writer(items)
            if not writer.begin():
                return writer.run
            try:
                self._fill(writer, items, progress)
            except KeyboardInterrupt:
                writer.close_part()
                raise
            finally:
                progress.end()
            return writer.finish(refused=items.refused)

    def _writer(self, items: Items) -> PredictionsWriter:
        settings = self.settings
        identity = {
            **self.identity,
            items.unit: items.fingerprint,
            "mini_batch_size": settings.mini_batch_size,
            "output_action": settings.output_action,
        }
        run = {
            "script": self.script.script.name,
            items.unit: {"source": str(self.source.absolute()), "count": len(items)},
            "settings": settings.model_dump(mode="json"),
            "workers": self.workers,
            "versions": {"calotype": __version__},
        }
        return PredictionsWriter(
            self.out,
            identity=identity,
            run=run,
            unit=items.unit,
            keeps_rows=settings.output_action == "append_row",
            part_s=self.part_s,
        )

    def _fill(self, writer: PredictionsWriter, items: Items, progress: Progress) -> None:
        threshold = self.settings.error_threshold
        progress.begin("batch", total=len(items), unit=items.unit)
        progress.advance(writer.items_done)
        start = writer.mini_batches_done
        batches = mini_batches(items, size=self.settings.mini_batch_size, start=start)
        with (
            closing(_Workers(self, items, progress)) as workers,
            closing(workers.outcomes(batches)) as outcomes,
        ):
            for outcome in outcomes:
                count = len(outcome.batch.entries)
                failed = writer.items_failed + len(outcome.failures) + len(items.refused)
                if 0 <= threshold < failed:
                    # It is not written: who mends the cause and resumes has it tried again.
                    writer.stop(outcome.failures)
                    check_threshold(failed, threshold, unit=items.unit)
                writer.write(outcome.rows, items=count, failures=outcome.failures)
                progress.advance(count, note=f"{failed} failed" if failed else "")


def check_threshold(failed: int, threshold: int, *, unit: str = "images") -> None:
    """Stop a job of which too many images or rows have failed.

    Raises:
        OperationFailed: that is so.
    """
    if 0 <= threshold < failed:
        raise errors.OperationFailed(
            f"expected at most {threshold} {unit} to fail",
            where="batch job",
            got=f"{failed} of them",
            action="errors.parquet and the log say why. Mend that, or allow more with "
            "--error-threshold, and submit again.",
        )


class _Workers:
    """A few workers, each in use by one thread at a time; outcomes come in order."""

    def __init__(self, job: ScriptJob, items: Items, progress: Progress) -> None:
        self._job = job
        self._items = items
        self._progress = progress
        self._all = [WorkerClient(job.script) for _ in range(job.workers)]
        self._free: queue.SimpleQueue[WorkerClient] = queue.SimpleQueue()
        self._is_closing = False
        for worker in self._all:
            self._free.put(worker)

    def close(self) -> None:
        """End them."""
        for worker in self._all:
            worker.close()

    def _kill(self) -> None:
        self._is_closing = True
        for worker in self._all:
            worker.kill()

    def outcomes(self, batches: Iterable[MiniBatch]) -> Generator[Outcome, None, None]:
        """Yield what comes of mini-batches; a few more than are being worked on are read ahead."""
        if len(self._all) == 1:
            yield from map(self._treated, batches)
            return
        running: collections.deque[Future[Outcome]] = collections.deque()
        waiting: Iterator[MiniBatch] = iter(batches)
        with ThreadPoolExecutor(len(self._all)) as pool:
            try:
                for batch in waiting:
                    running.append(pool.submit(self._treated, batch))
                    if len(running) >= 2 * len(self._all):
                        yield running.popleft().result()
                while running:
                    yield running.popleft().result()
            finally:
                for one in running:
                    one.cancel()
                if running:  # nobody wants what they are doing, and the pool would wait for it
                    self._kill()

    def _treated(self, batch: MiniBatch) -> Outcome:
        worker = self._free.get()
        try:
            with self._items.as_files(batch.entries, parent=self._job.scratch) as made:
                if not made.paths:
                    return Outcome(batch, failures=made.failures)
                try:
                    rows = self._attempted(worker, batch, made.paths)
                except MiniBatchFailed as failure:
                    failed = failures_of(made.entries, failure)
                    return Outcome(batch, failures=[*made.failures, *failed])
                rows, missing = self._items.matched(rows, batch, made.entries)
                return Outcome(batch, rows, [*made.failures, *missing])
        finally:
            self._free.put(worker)

    def _attempted(self, worker: WorkerClient, batch: MiniBatch, paths: list[Path]) -> ArrowTable:
        settings = self._job.settings
        for attempt in range(settings.retries + 1):
            try:
                return worker.run(batch.number, paths, timeout_s=settings.timeout_s)
            except MiniBatchFailed as failure:
                said = (failure.trace or failure.got).rstrip()
                self._progress.say(
                    f"mini-batch {batch.number}: attempt {attempt + 1} failed: {said}"
                )
                if attempt == settings.retries or self._is_closing:
                    raise
        raise AssertionError("the last attempt returns or raises")
