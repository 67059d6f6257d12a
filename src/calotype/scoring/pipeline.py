"""Images of a directory through decoding, preprocessing and a network, on threads, in order."""

from __future__ import annotations

import collections
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from calotype import errors
from calotype.images.preprocess import Preprocessor
from calotype.scoring.runtimes import Batch

if TYPE_CHECKING:
    from calotype.images.image_directory import ImageDirectory, ImageEntry
    from calotype.images.reader import ImageReader

_WAITING_PER_THREAD = 8  # results that may wait for a slow image ahead of them

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that could not be read, and why."""

    entry: ImageEntry
    error: errors.CalotypeError


@dataclass(frozen=True, slots=True)
class Processed(Generic[Result]):
    """Neighbouring images after inference.

    Attributes:
        entries: the images that were read, in order.
        result: what inference gave for them; None when there are none.
        failures: the images between them that could not be read.
    """

    entries: list[ImageEntry]
    result: Result | None
    failures: list[Failure]


@dataclass(frozen=True)
class Pipeline(Generic[Result]):
    """Reads, preprocesses and infers; results come in the order of the images.

    Attributes:
        preprocessor: makes the network's inputs.
        infer: called with a batch, from several threads at once.
        batch_size: the most images that are inferred together.
        threads: how many threads read and infer.
    """

    preprocessor: Preprocessor
    infer: Callable[[Batch], Result]
    batch_size: int
    threads: int

    def run(
        self, directory: ImageDirectory, *, start: int = 0, step: int = 1
    ) -> Iterator[Processed[Result]]:
        """Work through an image directory from position `start` on, taking every `step`th image."""
        buffers = threading.local()
        with (
            directory.reader() as reader,
            ThreadPoolExecutor(self.threads, thread_name_prefix="scorer") as pool,
        ):
            waiting: collections.deque[Future[Processed[Result]]] = collections.deque()
            try:
                taken = itertools.islice(directory.entries(start), 0, None, step)
                for entries in _batched(taken, self.batch_size):
                    waiting.append(pool.submit(self._process, entries, reader, buffers))
                    if len(waiting) >= self.threads * _WAITING_PER_THREAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _process(
        self, entries: Sequence[ImageEntry], reader: ImageReader, buffers: threading.local
    ) -> Processed[Result]:
        batch = self._buffer(buffers)
        read: list[ImageEntry] = []
        failures: list[Failure] = []
        for entry in entries:
            try:
                self.preprocessor.load(reader.read(entry), batch[len(read)], where=entry.path)
            except errors.FileError as error:
                failures.append(Failure(entry, error))
            else:
                read.append(entry)
        return Processed(read, self.infer(batch[: len(read)]) if read else None, failures)

    def _buffer(self, buffers: threading.local) -> NDArray[np.float32]:
        buffer = getattr(buffers, "batch", None)
        if buffer is None:
            shape = self.preprocessor.preprocessing.input_shape(self.batch_size)
            buffer = buffers.batch = np.empty(shape, np.float32)
        return buffer


def _batched(entries: Iterator[ImageEntry], size: int) -> Iterator[list[ImageEntry]]:
    while few := list(itertools.islice(entries, size)):
        yield few
