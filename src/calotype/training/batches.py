"""Batches of images for training and validation, decoded by threads while the network computes."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from calotype import errors
from calotype.images.decode import Picture
from calotype.images.image_directory import ImageDirectory, ImageEntry
from calotype.images.preprocess import Preprocessor
from calotype.images.reader import ImageReader
from calotype.training.augmentation import Augmentation
from calotype.training.parameters import Balance
from calotype.training.pixel_cache import PixelCache

_BATCHES_AHEAD = 3

_Load = Callable[[int], NDArray[np.float32] | None]


class Preparation(Protocol):
    """What is done to a decoded image before it is kept: the same in every epoch."""

    def decode(self, data: bytes) -> Picture: ...
    def prepare(self, picture: Picture) -> NDArray[np.uint8]: ...
    def most_bytes(self, width: int, height: int) -> int: ...


class ModelPreparation:
    """The model's own preprocessing up to the pixels: what the Scorer does, to the bit."""

    def __init__(self, preprocessor: Preprocessor) -> None:
        self._preprocessor = preprocessor

    def decode(self, data: bytes) -> Picture:
        """Decode the bytes of an image file."""
        return self._preprocessor.decode(data)

    def prepare(self, picture: Picture) -> NDArray[np.uint8]:
        """Return values 0-255, shape (height, width, 3)."""
        return self._preprocessor.crop(picture)

    def most_bytes(self, width: int, height: int) -> int:
        """Return how many bytes `prepare` makes of any image."""
        height, width = self._preprocessor.preprocessing.input_size
        return height * width * 3


@dataclass(frozen=True, slots=True)
class Batch:
    """Network inputs with their classes.

    Attributes:
        inputs: float32, shape (images, 3, height, width).
        targets: int64 class indices, shape (images,).
        index: its number in the epoch, from 0 on.
        size: images of the batch in all processes, readable or not.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    index: int
    size: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A batch whose images are being loaded; see `Batch` for its parts."""

    number: int
    size: int
    images: NDArray[np.int64]
    futures: list[Future[NDArray[np.float32] | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How the images of a run are drawn.

    Attributes:
        size: images of a batch, of all processes together.
        seed: of the run.
        balance: "sampling" draws the images of rare classes more often.
        part: which process this is, and of how many.
    """

    size: int
    seed: int
    balance: Balance = "none"
    part: tuple[int, int] = (0, 1)


@dataclass(slots=True)
class LabeledImages:
    """The labelled images of a directory, ready to be drawn in batches.

    Attributes:
        entries: images with a category.
        targets: the class index of each.
        classes: how many there are.
        reader: reads their files.
        preprocessor: the model's own preprocessing.
        preparation: what comes before the pixels are kept.
        cache: keeps them.
        unreadable: the paths of images that could not be decoded; filled on the way.
    """

    entries: list[ImageEntry]
    targets: NDArray[np.int64]
    classes: int
    reader: ImageReader
    preprocessor: Preprocessor
    preparation: Preparation
    cache: PixelCache
    unreadable: set[str] = field(default_factory=set[str])

    @classmethod
    def of(
        cls,
        directory: ImageDirectory,
        classes: Sequence[str],
        *,
        reader: ImageReader,
        preprocessor: Preprocessor,
        preparation: Preparation | None = None,
        cache: Callable[[Sequence[int]], PixelCache] = lambda sizes: PixelCache(sizes, limit_mb=0),
    ) -> LabeledImages:
        """Take the images of `directory` that have a category.

        Args:
            directory: the images.
            classes: their names in index order.
            reader: reads the files.
            preprocessor: the model's own.
            preparation: what is done before pixels are kept; otherwise the model's preprocessing.
            cache: makes the cache for images of so many bytes each.
        """
        index_of: dict[str | None, int] = {name: index for index, name in enumerate(classes)}
        entries = [entry for entry in directory.entries() if entry.category in index_of]
        targets = np.array([index_of[entry.category] for entry in entries], np.int64)
        prepared = preparation or ModelPreparation(preprocessor)
        sizes = [prepared.most_bytes(entry.width, entry.height) for entry in entries]
        return cls(entries, targets, len(classes), reader, preprocessor, prepared, cache(sizes))

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def counts(self) -> list[int]:
        """How many images each class has."""
        return np.bincount(self.targets, minlength=self.classes).tolist()

    def evaluation_batches(
        self, pool: ThreadPoolExecutor, *, size: int, part: tuple[int, int] = (0, 1)
    ) -> Iterator[Batch]:
        """Give every image of this process's part once, in order, as the Scorer sees it."""
        rank, processes = part
        order = np.arange(rank, len(self), processes)
        chunks = [order[at : at + size] for at in range(0, len(order), size)]
        batches = self._batches(pool, chunks, self._preprocessed)
        return (batch for batch in batches if len(batch.targets))

    def training_batches(
        self,
        pool: ThreadPoolExecutor,
        augmentation: Augmentation,
        drawing: Drawing,
        *,
        epoch: int,
        start: int = 0,
        varied_as: int,
    ) -> Iterator[Batch]:
        """Give every image once, shuffled and augmented as the seed and `epoch` say.

        A batch that a process has no image of, because none could be read, has none here either;
        it is left out when there is one process. A batch of one image is left out, unless that is
        the size of all: batch norm cannot be trained on it.

        Args:
            pool: the threads that decode.
            augmentation: makes the pictures.
            drawing: how images are drawn.
            epoch: from 1 on.
            start: how many batches to pass over.
            varied_as: the epoch whose augmentation to use.
        """
        chunks = self._chunks(drawing, epoch)[start:]

        def load(index: int) -> NDArray[np.float32] | None:
            # From 1 on: numpy takes (seed, epoch, 0) for (seed, epoch), which made the order.
            random = np.random.default_rng((drawing.seed, varied_as, index + 1))
            return self._augmented(index, augmentation, random)

        batches = self._batches(pool, chunks, load, part=drawing.part, first=start)
        if drawing.part[1] > 1:
            return batches
        least = min(drawing.size, 2)
        return (batch for batch in batches if len(batch.targets) >= least)

    def batch_count(self, size: int) -> int:
        """Return how many batches `training_batches` gives when all images can be read."""
        return len(self) // size + (len(self) % size > 1)

    def file(self, index: int) -> bytes:
        """Return the content of one image file."""
        return self.reader.read(self.entries[index])

    def _chunks(self, drawing: Drawing, epoch: int) -> list[NDArray[np.int64]]:
        """Return the images of each batch of an epoch."""
        random = np.random.default_rng((drawing.seed, epoch))
        order = random.permutation(len(self))
        if drawing.balance == "sampling":
            share = 1.0 / np.maximum(np.bincount(self.targets), 1)[self.targets]
            order = random.choice(len(self), len(self), p=share / share.sum())
        chunks = [order[at : at + drawing.size] for at in range(0, len(order), drawing.size)]
        return [chunk for chunk in chunks if len(chunk) > 1 or drawing.size == 1]

    def _batches(
        self,
        pool: ThreadPoolExecutor,
        chunks: Sequence[NDArray[np.int64]],
        load: _Load,
        *,
        part: tuple[int, int] = (0, 1),
        first: int = 0,
    ) -> Iterator[Batch]:
        """Load the chunks in order, some ahead of the one that is asked for."""
        waiting: collections.deque[_Waiting] = collections.deque()
        for number, chunk in enumerate([*chunks, *[None] * _BATCHES_AHEAD], start=first):
            if chunk is not None:
                own = _part(chunk, part)
                futures = [pool.submit(load, int(index)) for index in own]
                waiting.append(_Waiting(number, len(chunk), own, futures))
            if waiting and (chunk is None or len(waiting) > _BATCHES_AHEAD):
                yield self._assembled(waiting.popleft())

    def _assembled(self, waiting: _Waiting) -> Batch:
        loaded = [future.result() for future in waiting.futures]
        is_there = np.array([one is not None for one in loaded], bool)
        shape = (0, *self.preprocessor.preprocessing.input_shape(1)[1:])
        readable = [one for one in loaded if one is not None]
        inputs = np.stack(readable) if readable else np.empty(shape, np.float32)
        targets = torch.from_numpy(self.targets[waiting.images[is_there]])
        return Batch(torch.from_numpy(inputs), targets, waiting.number, waiting.size)

    def _preprocessed(self, index: int) -> NDArray[np.float32] | None:
        return self._normalized(self._pixels(index))

    def _augmented(
        self, index: int, augmentation: Augmentation, random: np.random.Generator
    ) -> NDArray[np.float32] | None:
        pixels = self._pixels(index)
        return None if pixels is None else self._normalized(augmentation.vary(pixels, random))

    def _normalized(self, pixels: NDArray[np.uint8] | None) -> NDArray[np.float32] | None:
        if pixels is None:
            return None
        out = np.empty((3, *pixels.shape[:2]), np.float32)
        self.preprocessor.normalize(pixels, out)
        return out

    def _pixels(self, index: int) -> NDArray[np.uint8] | None:
        """Return an image after its preparation; None when it cannot be read."""
        if (kept := self.cache.get(index)) is not None:
            return kept
        try:
            picture = self.preparation.decode(self.file(index))
        except errors.FileError:
            self.unreadable.add(self.entries[index].path)
            return None
        pixels = self.preparation.prepare(picture)
        self.cache.put(index, pixels)
        return pixels


def _part(chunk: NDArray[np.int64], part: tuple[int, int]) -> NDArray[np.int64]:
    """Return the images of a batch that fall to one process; all of them when they are few."""
    rank, processes = part
    return chunk if is_whole(len(chunk), processes) else np.array_split(chunk, processes)[rank]


def is_whole(images: int, processes: int) -> bool:
    """Whether every process computes a whole batch, because it is too small to be shared out."""
    return images < 2 * processes
