"""Batches of images for training and validation, decoded by threads while the network computes."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from calotype import errors
from calotype.images.decode import decode
from calotype.images.image_directory import ImageDirectory, ImageEntry
from calotype.images.preprocess import Preprocessor
from calotype.images.reader import ImageReader
from calotype.training.augmentation import Augmentation

_BATCHES_AHEAD = 3

_Load = Callable[[int], NDArray[np.float32] | None]
_Waiting = tuple[NDArray[np.int64], list[Future[NDArray[np.float32] | None]]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Network inputs with their classes.

    Attributes:
        inputs: float32, shape (images, 3, height, width).
        targets: int64 class indices, shape (images,).
    """

    inputs: torch.Tensor
    targets: torch.Tensor


@dataclass(slots=True)
class LabeledImages:
    """The labelled images of a directory, ready to be drawn in batches.

    Attributes:
        entries: images with a category.
        targets: the class index of each.
        reader: reads their files.
        preprocessor: the model's own preprocessing.
        unreadable: the paths of images that could not be decoded; filled on the way.
    """

    entries: list[ImageEntry]
    targets: NDArray[np.int64]
    reader: ImageReader
    preprocessor: Preprocessor
    unreadable: set[str] = field(default_factory=set[str])

    @classmethod
    def of(
        cls,
        directory: ImageDirectory,
        classes: Sequence[str],
        *,
        reader: ImageReader,
        preprocessor: Preprocessor,
    ) -> LabeledImages:
        """Take the images of `directory` that have a category."""
        index_of: dict[str | None, int] = {name: index for index, name in enumerate(classes)}
        entries = [entry for entry in directory.entries() if entry.category in index_of]
        targets = np.array([index_of[entry.category] for entry in entries], np.int64)
        return cls(entries, targets, reader, preprocessor)

    def __len__(self) -> int:
        return len(self.entries)

    def evaluation_batches(self, pool: ThreadPoolExecutor, *, size: int) -> Iterator[Batch]:
        """Give every image once, in order, through the model's own preprocessing."""
        return self._batches(pool, np.arange(len(self)), size, self._preprocessed)

    def training_batches(
        self,
        pool: ThreadPoolExecutor,
        augmentation: Augmentation,
        *,
        size: int,
        seed: int,
        epoch: int,
    ) -> Iterator[Batch]:
        """Give every image once, shuffled and augmented as `seed` and `epoch` say.

        A batch of one image, at the end or because its others cannot be read, is left out unless
        `size` is 1: batch norm cannot be trained on it.
        """
        order = np.random.default_rng((seed, epoch)).permutation(len(self))

        def load(index: int) -> NDArray[np.float32] | None:
            # From 1 on: numpy takes (seed, epoch, 0) for (seed, epoch), which made the order.
            random = np.random.default_rng((seed, epoch, index + 1))
            return self._augmented(index, augmentation, random)

        batches = self._batches(pool, order, size, load)
        return (batch for batch in batches if len(batch.targets) > 1 or size == 1)

    def batch_count(self, size: int) -> int:
        """Return how many batches `training_batches` gives when all images can be read."""
        return len(self) // size + (len(self) % size > 1)

    def file(self, index: int) -> bytes:
        """Return the content of one image file."""
        return self.reader.read(self.entries[index])

    def _batches(
        self, pool: ThreadPoolExecutor, order: NDArray[np.int64], size: int, load: _Load
    ) -> Iterator[Batch]:
        waiting: collections.deque[_Waiting] = collections.deque()
        for at in range(0, len(order), size):
            indices = order[at : at + size]
            waiting.append((indices, [pool.submit(load, int(index)) for index in indices]))
            if len(waiting) > _BATCHES_AHEAD:
                yield from self._assembled(*waiting.popleft())
        while waiting:
            yield from self._assembled(*waiting.popleft())

    def _assembled(
        self, indices: NDArray[np.int64], futures: list[Future[NDArray[np.float32] | None]]
    ) -> Iterator[Batch]:
        """Give the batch, or none when no image of it could be read."""
        loaded = [future.result() for future in futures]
        inputs = [one for one in loaded if one is not None]
        if inputs:
            is_there = np.array([one is not None for one in loaded])
            targets = torch.from_numpy(self.targets[indices[is_there]])
            yield Batch(torch.from_numpy(np.stack(inputs)), targets)

    def _preprocessed(self, index: int) -> NDArray[np.float32] | None:
        out = np.empty(self.preprocessor.preprocessing.input_shape(1)[1:], np.float32)
        try:
            self.preprocessor.load(self.file(index), out)
        except errors.FileError:
            self.unreadable.add(self.entries[index].path)
            return None
        return out

    def _augmented(
        self, index: int, augmentation: Augmentation, random: np.random.Generator
    ) -> NDArray[np.float32] | None:
        try:
            picture = decode(self.file(index), at_least=augmentation.needed_size)
        except errors.FileError:
            self.unreadable.add(self.entries[index].path)
            return None
        pixels = augmentation.apply(picture, random)
        out = np.empty((3, *pixels.shape[:2]), np.float32)
        self.preprocessor.normalize(pixels, out)
        return out
