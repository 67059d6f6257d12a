"""The Scorer: decode, preprocess, infer, name the classes. One implementation for every caller.

Each thread takes the next few images, decodes them into its own batch and runs the network on it
with one core; the results come back in order. Decoding and inference of different threads overlap
by themselves, nothing is copied between processes, and memory does not grow with the images.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from calotype import errors
from calotype.images.formats import DEFAULT_LIMITS, ImageLimits
from calotype.images.preprocess import Preprocessing, Preprocessor
from calotype.models.image_model import ONNX, ImageModel
from calotype.models.novelty import statistic_of
from calotype.models.onnx_file import open_session
from calotype.progress import SILENCE, Progress
from calotype.resources import usable_cores
from calotype.scored_dataset import ScoredSchema
from calotype.scoring.pictures import Predictable, name_of, open_picture
from calotype.scoring.pipeline import Failure, Pipeline, Processed
from calotype.scoring.precision import PrecisionChoice, open_runtime
from calotype.scoring.runtimes import Batch, Runtime
from calotype.tables import RecordBatch

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from calotype.images.image_directory import ImageDirectory, ImageEntry
    from calotype.scoring.explain import Explanation, Method

Source: TypeAlias = "str | Path | ImageDirectory"
OnError = Literal["skip", "fail"]

_ROWS_PER_BATCH = 1024  # of 1,000 classes: 4 MB


@dataclass(frozen=True, slots=True)
class Scores:
    """Predictions for some images.

    Attributes:
        labels: the most probable class of each image.
        probabilities: float32, shape (images, classes); each row sums to 1.
        classes: class names in index order.
        novelty: how unlike the validation images each image is, float32, 0-1, shape (images,);
            None unless the scorer measures it.
    """

    labels: list[str]
    probabilities: NDArray[np.float32]
    classes: tuple[str, ...]
    novelty: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the network says about a batch: probabilities, and novelty where it is measured."""

    probabilities: NDArray[np.float32]
    novelty: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """Neighbouring images of an image directory after scoring.

    Attributes:
        entries: the images that were scored, in order.
        probabilities: float32, shape (entries, classes).
        failures: the images between them that were not.
        novelty: float32, shape (entries,); None unless the scorer measures it.
    """

    entries: list[ImageEntry]
    probabilities: NDArray[np.float32]
    failures: list[Failure]
    novelty: NDArray[np.float32] | None = None

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
        calibrated: divide logits by the temperature that the model was given, if any, so that
            probabilities are as high as the model is often right; labels stay the same.
        novelty: also measure how unlike the model's validation images each image is.
        progress: is told about doubtful choices.

    Raises:
        InvalidModel: `model` is not a trained image model (0159).
        CorruptModel: its files are damaged (0082).
        MissingDependency, WeightsNotFound, OperationFailed: the precision cannot be had.
        WeightsNotFound: `novelty`, and the model cannot tell (0162).
    """

    def __init__(
        self,
        model: ImageModel | str | Path,
        precision: PrecisionChoice = "auto",
        threads: int | None = None,
        *,
        exact_decode: bool = False,
        limits: ImageLimits = DEFAULT_LIMITS,
        calibrated: bool = True,
        novelty: bool = False,
        progress: Progress = SILENCE,
    ) -> None:
        if threads is not None and threads < 1:
            raise errors.NotGreaterOrEqual(
                "must be at least 1", where="parameter 'threads'", got=str(threads)
            )
        self.model = model if isinstance(model, ImageModel) else ImageModel.load(model)
        self.threads = threads or usable_cores()
        self.exact_decode = exact_decode
        self.limits = limits
        description = self.model.description
        is_calibrated = calibrated and description.output == "logits"
        self.temperature = description.temperature if is_calibrated else None
        self._novelty = statistic_of(self.model) if novelty else None
        self.runtime: Runtime = open_runtime(
            self.model,
            precision=precision,
            threads=self.threads,
            with_features=self._novelty is not None and self._novelty.needs_features,
            progress=progress,
        )
        self._preprocessor = self.preprocessor_for(self.model.preprocessing)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in index order."""
        return self.model.classes

    @property
    def measures_novelty(self) -> bool:
        """Whether every score comes with the novelty of its image."""
        return self._novelty is not None

    @functools.cached_property
    def reference_session(self) -> InferenceSession:
        """The fp32 network in ONNX Runtime, opened when first asked for; explanations look into it.

        Heat in another precision would only be coarser.
        """
        return open_session(self.model.file(ONNX))

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
            picture = open_picture(image, self._preprocessor, where=name_of(image, index))
            self._preprocessor.normalize(self._preprocessor.crop(picture), batch[index])
        size = self.runtime.batch_size
        parts = [self._judge(batch[at : at + size]) for at in range(0, len(listed), size)]
        judged = self._together(parts)
        labels = self._labels(judged.probabilities)
        return Scores(labels, judged.probabilities, self.classes, judged.novelty)

    def explain(
        self, image: Predictable, label: str | None = None, *, method: Method = "auto"
    ) -> Explanation:
        """Show which parts of an image speak for a label.

        Args:
            image: as for `predict`.
            label: a class (default: the most probable one).
            method: `activation` reads it off the network's last feature map, `occlusion` hides one
                part after the other; `auto` takes the first where the network allows it.

        Raises:
            UnparsableValue: no class has this name, or the network allows no `activation`.
            UnreadableFile, ImageTooLarge: the image cannot be used.
        """
        from calotype.scoring.explain import explain

        picture = open_picture(image, self._preprocessor, where=name_of(image, 0))
        return explain(self, picture, label=label, method=method)

    def score(self, source: Source, *, on_error: OnError = "skip") -> Iterator[RecordBatch]:
        """Score every image of a source, in its order, in constant memory.

        Args:
            source: an image directory, a folder, an archive or one image file.
            on_error: leave images out that cannot be read, or raise for the first one.

        Yields:
            Rows as a scored dataset holds them, at most 1,024 at a time.
        """
        # Here, because it brings pyarrow: a service that scores single images has no use for that.
        from calotype.images.image_directory import ImageDirectory

        with ImageDirectory.open(source, limits=self.limits) as directory:
            schema = self.schema_for(directory)
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
        ignore_pending: bool = False,
    ) -> Iterator[ScoredChunk]:
        """Score the images of an image directory from position `start` on, in order.

        Args:
            directory: the images.
            start: how many images to leave out at the beginning.
            step: score every image (1), every second one (2), and so on.
            on_error: report images that cannot be read as failures, or raise for the first.
            ignore_pending: do what the model does by itself, whatever transformation was applied
                to the directory.

        Raises:
            FileError: an image cannot be read, and `on_error` is "fail".
        """
        preprocessor = self._preprocessor if ignore_pending else self._preprocessor_of(directory)
        pipeline = Pipeline(preprocessor, self._judge, self.runtime.batch_size, self.threads)
        for few in pipeline.run(directory, start=start, step=step):
            yield _checked(self._scored(few), on_error)

    def infer(self, batch: Batch) -> NDArray[np.float32]:
        """Return the probabilities of a batch of network inputs, shape (images, classes)."""
        return self.probabilities_of(self.runtime.infer(batch))

    def schema_for(self, directory: ImageDirectory) -> ScoredSchema:
        """Return the columns of a scored dataset of these images."""
        return ScoredSchema.of(
            self.classes,
            has_category=directory.is_labeled,
            has_novelty=self.measures_novelty,
        )

    def to_arrow(self, chunks: Sequence[ScoredChunk], schema: ScoredSchema) -> RecordBatch:
        """Return chunks as rows with the columns of a scored dataset."""
        import pyarrow as pa

        entries = [entry for chunk in chunks for entry in chunk.entries]
        judged = self._together([Judgement(chunk.probabilities, chunk.novelty) for chunk in chunks])
        columns: list[Any] = [[entry.id for entry in entries], [entry.path for entry in entries]]
        if schema.label_column is not None:
            columns.append([entry.category for entry in entries])
        columns.extend(np.ascontiguousarray(judged.probabilities.T))
        columns.append(self._labels(judged.probabilities))
        if schema.novelty_column is not None:
            columns.append(judged.novelty)
        fields = schema.arrow_schema()
        arrays = [pa.array(c, f.type) for c, f in zip(columns, fields, strict=True)]
        return pa.record_batch(arrays, schema=fields)

    def _judge(self, batch: Batch) -> Judgement:
        if self._novelty is None:
            return Judgement(self.infer(batch))
        if self._novelty.needs_features:
            outputs, features = self.runtime.infer_with_features(batch)
            return Judgement(self.probabilities_of(outputs), self._novelty.novelty(features))
        outputs = self.runtime.infer(batch)
        return Judgement(self.probabilities_of(outputs), self._novelty.novelty(outputs))

    def probabilities_of(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities that a runtime's outputs stand for, shape (images, classes)."""
        if self.model.description.output == "probabilities":
            return outputs
        return softmax(outputs, temperature=self.temperature or 1.0)

    def _scored(self, few: Processed[Judgement]) -> ScoredChunk:
        judged = few.result or self._together([])
        return ScoredChunk(few.entries, judged.probabilities, few.failures, judged.novelty)

    def _together(self, parts: Sequence[Judgement]) -> Judgement:
        """Join what was said about neighbouring images; there may be none."""
        probabilities = [np.empty((0, len(self.classes)), np.float32)]
        probabilities.extend(part.probabilities for part in parts)
        novelty = [part.novelty for part in parts if part.novelty is not None]
        return Judgement(
            np.concatenate(probabilities),
            np.concatenate([np.empty(0, np.float32), *novelty]) if self.measures_novelty else None,
        )

    def _preprocessor_of(self, directory: ImageDirectory) -> Preprocessor:
        """Return the model's own preprocessing, or what was applied to the directory instead."""
        applied = applied_preprocessing(self.model, directory)
        return self._preprocessor if applied is None else self.preprocessor_for(applied)

    def preprocessor_for(self, preprocessing: Preprocessing) -> Preprocessor:
        """Return a preprocessor with the scorer's limits and way of decoding."""
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


def softmax(logits: NDArray[np.float32], *, temperature: float = 1.0) -> NDArray[np.float32]:
    """Return probabilities, each row by itself, computed in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted / temperature)
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


def _checked(chunk: ScoredChunk, on_error: OnError) -> ScoredChunk:
    if chunk.failures and on_error == "fail":
        raise chunk.failures[0].error
    return chunk
