"""The Scorer: decode, preprocess, infer, name the classes. One implementation for every caller.

Each thread takes the next few images, decodes them into its own batch and runs the network on it
with one core; the results come back in order. Decoding and inference of different threads overlap
by themselves, nothing is copied between processes, and memory does not grow with the images.
"""

from __future__ import annotations

import collections
import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from calotype import errors
from calotype.images.decode import Picture, to_rgb
from calotype.images.formats import DEFAULT_LIMITS, ImageLimits
from calotype.images.image_directory import ImageDirectory, ImageEntry
from calotype.images.preprocess import Preprocessing, Preprocessor
from calotype.images.reader import ImageReader
from calotype.models.image_model import ImageModel
from calotype.progress import SILENCE, Progress
from calotype.scored_dataset import ScoredSchema
from calotype.scoring.precision import PrecisionChoice, open_runtime
from calotype.scoring.runtimes import Runtime
from calotype.tables import RecordBatch

Source = str | Path | ImageDirectory
Predictable = str | Path | bytes | Image.Image | NDArray[np.uint8]
OnError = Literal["skip", "fail"]

_ROWS_PER_BATCH = 1024  # of 1,000 classes: 4 MB
_WAITING_PER_THREAD = 8  # results that may wait for a slow image ahead of them


@dataclass(frozen=True, slots=True)
class Scores:
    """Predictions for some images.

    Attributes:
        labels: the most probable class of each image.
        probabilities: float32, shape (images, classes); each row sums to 1.
        classes: class names in index order.
    """

    labels: list[str]
    probabilities: NDArray[np.float32]
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that could not be scored, and why."""

    entry: ImageEntry
    error: errors.CalotypeError


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """Neighbouring images of an image directory after scoring.

    Attributes:
        entries: the images that were scored, in order.
        probabilities: float32, shape (entries, classes).
        failures: the images between them that were not.
    """

    entries: list[ImageEntry]
    probabilities: NDArray[np.float32]
    failures: list[Failure]

    @property
    def images(self) -> int:
        """How many images the chunk stands for, scored or not."""
        return len(self.entries) + len(self.failures)


class Scorer:
    """Applies an image model to images, identically wherever they come from.

    The same image gets bit-identical probabilities whatever the batch size, its neighbours, the
    number of threads and the kind of source, at every precision.

    Args:
        model: an image model, or the path of one.
        precision: `fp32` is the reference; `auto` takes the fastest one that was measured to
            agree with it on the model's own validation images.
        threads: how many threads decode and infer, each with one core (None: one a core).
        exact_decode: decode JPEGs at full size; otherwise those at least twice as large as needed
            are decoded at 1/2, 1/4 or 1/8 (mean difference about 0.1 of 255 gray levels).
        limits: the most bytes and pixels of an image.
        progress: is told about doubtful choices.

    Raises:
        InvalidModel: `model` is not a trained image model (0159).
        CorruptModel: its files are damaged (0082).
        MissingDependency, WeightsNotFound, OperationFailed: the precision cannot be had.
    """

    def __init__(
        self,
        model: ImageModel | str | Path,
        precision: PrecisionChoice = "auto",
        threads: int | None = None,
        *,
        exact_decode: bool = False,
        limits: ImageLimits = DEFAULT_LIMITS,
        progress: Progress = SILENCE,
    ) -> None:
        if threads is not None and threads < 1:
            raise errors.NotGreaterOrEqual(
                "must be at least 1", where="parameter 'threads'", got=str(threads)
            )
        self.model = model if isinstance(model, ImageModel) else ImageModel.load(model)
        self.threads = threads or available_cores()
        self.exact_decode = exact_decode
        self.limits = limits
        self.runtime: Runtime = open_runtime(
            self.model, precision=precision, threads=self.threads, progress=progress
        )
        self._preprocessor = self._preprocessor_for(self.model.preprocessing)
        self._buffers = threading.local()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in index order."""
        return self.model.classes

    def predict(self, images: Predictable | Sequence[Predictable]) -> Scores:
        """Score a few images that are at hand.

        Args:
            images: one image or a list of them; each a path, the bytes of an image file, a Pillow
                picture or an array (uint8, shape (height, width, 3) in RGB, or (height, width)).

        Raises:
            UnreadableFile, ImageTooLarge: an image cannot be used.
        """
        is_one = isinstance(images, str | bytes | Path | Image.Image | np.ndarray)
        listed = [images] if is_one else list(images)
        batch = np.empty(self.model.preprocessing.input_shape(len(listed)), np.float32)
        for index, image in enumerate(listed):
            self._fill(batch[index], image, where=_name_of(image, index))
        size = self.runtime.batch_size
        parts = [self.infer(batch[at : at + size]) for at in range(0, len(listed), size)]
        probabilities = np.concatenate(parts or [np.empty((0, len(self.classes)), np.float32)])
        return Scores(self._labels(probabilities), probabilities, self.classes)

    def score(self, source: Source, *, on_error: OnError = "skip") -> Iterator[RecordBatch]:
        """Score every image of a source, in its order, in constant memory.

        Args:
            source: an image directory, a folder, an archive or one image file.
            on_error: leave images out that cannot be read, or raise for the first one.

        Yields:
            Rows as a scored dataset holds them, at most 1,024 at a time.
        """
        with ImageDirectory.open(source, limits=self.limits) as directory:
            schema = ScoredSchema.of(self.classes, has_category=directory.is_labeled)
            chunks = self.chunks(directory, on_error=on_error)
            for group in gather(chunks, rows=_ROWS_PER_BATCH):
                yield self.to_arrow(group, schema)

    def chunks(
        self,
        directory: ImageDirectory,
        *,
        start: int = 0,
        step: int = 1,
        on_error: OnError = "skip",
    ) -> Iterator[ScoredChunk]:
        """Score the images of an image directory from position `start` on, in order.

        Args:
            directory: the images.
            start: how many images to leave out at the beginning.
            step: score every image (1), every second one (2), and so on.
            on_error: report images that cannot be read as failures, or raise for the first.

        Raises:
            FileError: an image cannot be read, and `on_error` is "fail".
        """
        preprocessor = self._preprocessor_of(directory)
        with (
            directory.reader() as reader,
            ThreadPoolExecutor(self.threads, thread_name_prefix="scorer") as pool,
        ):
            waiting: collections.deque[Future[ScoredChunk]] = collections.deque()
            try:
                taken = itertools.islice(directory.entries(start), 0, None, step)
                for entries in _batched(taken, self.runtime.batch_size):
                    waiting.append(pool.submit(self._score_few, entries, reader, preprocessor))
                    if len(waiting) >= self.threads * _WAITING_PER_THREAD:
                        yield _checked(waiting.popleft().result(), on_error)
                while waiting:
                    yield _checked(waiting.popleft().result(), on_error)
            finally:
                for future in waiting:
                    future.cancel()

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities of a batch of network inputs, shape (images, classes)."""
        outputs = self.runtime.infer(batch)
        return outputs if self.model.description.output == "probabilities" else softmax(outputs)

    def to_arrow(self, chunks: Sequence[ScoredChunk], schema: ScoredSchema) -> RecordBatch:
        """Return chunks as rows with the columns of a scored dataset."""
        import pyarrow as pa

        entries = [entry for chunk in chunks for entry in chunk.entries]
        parts = [chunk.probabilities for chunk in chunks]
        probabilities = np.concatenate(parts or [np.empty((0, len(self.classes)), np.float32)])
        columns: list[Any] = [[entry.id for entry in entries], [entry.path for entry in entries]]
        if schema.label_column is not None:
            columns.append([entry.category for entry in entries])
        columns.extend(np.ascontiguousarray(probabilities.T))
        columns.append(self._labels(probabilities))
        fields = schema.arrow_schema()
        arrays = [pa.array(c, f.type) for c, f in zip(columns, fields, strict=True)]
        return pa.record_batch(arrays, schema=fields)

    def _score_few(
        self, entries: Sequence[ImageEntry], reader: ImageReader, preprocessor: Preprocessor
    ) -> ScoredChunk:
        batch = self._buffer()
        scored: list[ImageEntry] = []
        failures: list[Failure] = []
        for entry in entries:
            try:
                preprocessor.load(reader.read(entry), batch[len(scored)], where=entry.path)
            except errors.FileError as error:
                failures.append(Failure(entry, error))
            else:
                scored.append(entry)
        probabilities = np.empty((0, len(self.classes)), np.float32)
        if scored:
            probabilities = self.infer(batch[: len(scored)])
        return ScoredChunk(scored, probabilities, failures)

    def _buffer(self) -> NDArray[np.float32]:
        buffer = getattr(self._buffers, "batch", None)
        if buffer is None:
            shape = self.model.preprocessing.input_shape(self.runtime.batch_size)
            buffer = self._buffers.batch = np.empty(shape, np.float32)
        return buffer

    def _fill(self, out: NDArray[np.float32], image: Predictable, *, where: str) -> None:
        if isinstance(image, bytes):
            self._preprocessor.load(image, out, where=where)
        elif isinstance(image, str | Path):
            self._preprocessor.load(_read(Path(image)), out, where=where)
        else:
            picture = image if isinstance(image, Image.Image) else _picture_of(image, where)
            upright = Picture(to_rgb(picture), picture.size)
            self._preprocessor.normalize(self._preprocessor.crop(upright), out)

    def _preprocessor_of(self, directory: ImageDirectory) -> Preprocessor:
        """Return the model's own preprocessing, or what was applied to the directory instead."""
        applied = applied_preprocessing(self.model, directory)
        return self._preprocessor if applied is None else self._preprocessor_for(applied)

    def _preprocessor_for(self, preprocessing: Preprocessing) -> Preprocessor:
        return Preprocessor(preprocessing, exact_decode=self.exact_decode, limits=self.limits)

    def _labels(self, probabilities: NDArray[np.float32]) -> list[str]:
        return [self.classes[index] for index in probabilities.argmax(axis=1)]


def applied_preprocessing(model: ImageModel, directory: ImageDirectory) -> Preprocessing | None:
    """Return the preprocessing that a directory's pending transformation asks for.

    Returns:
        None when nothing is pending, or it does just what the model does by itself.

    Raises:
        SchemaMismatch: its images would not have the size of the model's input (0125).
    """
    if directory.pending is None:
        return None
    own = model.preprocessing
    pending = Preprocessing.of_transformation(
        directory.pending.transformation, mean=own.mean, std=own.std
    ).model_copy(update={"channel_order": own.channel_order, "layout": own.layout})
    if pending == own:
        return None
    if pending.input_size != own.input_size:
        raise errors.SchemaMismatch(
            f"expected a transformation to {own.input_size[0]} x {own.input_size[1]} pixels, "
            "the model's input",
            where=str(directory.path),
            got=f"{pending.input_size[0]} x {pending.input_size[1]}",
            action="Score the images without Apply Image Transformation: the model carries the "
            "transformation that it was trained with.",
        )
    return pending


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities, each row by itself, computed in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def gather(chunks: Iterable[ScoredChunk], *, rows: int) -> Iterator[list[ScoredChunk]]:
    """Group neighbouring chunks until they hold at least `rows` images together."""
    group: list[ScoredChunk] = []
    images = 0
    for chunk in chunks:
        group.append(chunk)
        images += chunk.images
        if images >= rows:
            yield group
            group, images = [], 0
    if group:
        yield group


def _batched(entries: Iterator[ImageEntry], size: int) -> Iterator[list[ImageEntry]]:
    while few := list(itertools.islice(entries, size)):
        yield few


def _checked(chunk: ScoredChunk, on_error: OnError) -> ScoredChunk:
    if chunk.failures and on_error == "fail":
        raise chunk.failures[0].error
    return chunk


def _name_of(image: Predictable, index: int) -> str:
    return str(image) if isinstance(image, str | Path) else f"image {index}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.UnreadableFile(
            "expected a readable image file", where=str(path), got=error.strerror or str(error)
        ) from error


def _picture_of(pixels: NDArray[np.uint8], where: str) -> Image.Image:
    is_picture = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if pixels.dtype != np.uint8 or not is_picture:
        raise errors.UnparsableValue(
            "expected an array of uint8, shape (height, width, 3) or (height, width)",
            where=where,
            got=f"{pixels.dtype}, shape {pixels.shape}",
        )
    return Image.fromarray(pixels)
