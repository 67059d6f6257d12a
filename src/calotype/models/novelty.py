"""How unlike its validation images an image is: the statistic that a model carries with it.

In features: the cosine distance to the k-th nearest of up to 1,000 validation images, after Sun et
al., "Out-of-Distribution Detection with Deep Nearest Neighbors", 2022. It needs no labels, assumes
no shape of the classes, and works with a handful of images. Where a network gives no features: the
negated largest output, after Hendrycks et al., "Scaling Out-of-Distribution Detection for
Real-World Settings", 2022.

Either distance is compared with those of the validation images among themselves, which makes it a
number from 0 to 1: the part of them that is less novel.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calotype import errors
from calotype.models.image_model import NOVELTY, ImageModel
from calotype.models.package import corrupt

_MOST_NEIGHBOURS = 1000  # 2.5 MB for the 1,280 features of an EfficientNet
_MOST_RANK = 10
_ALMOST_ONE = np.nextafter(np.float32(1), np.float32(0))

Features = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class NoveltyStatistic:
    """What novelty is measured with.

    Attributes:
        neighbours: float32 as rounded to float16, shape (validation images, channels), rows of
            length 1; None for a network without features.
        rank: which nearest neighbour counts, 1 for the nearest.
        distances: float64, of the validation images, rising, at least one.
    """

    neighbours: NDArray[np.float32] | None
    rank: int
    distances: NDArray[np.float64]

    @classmethod
    def of_features(cls, features: Features) -> NoveltyStatistic | None:
        """Learn from the features of validation images, shape (images, channels).

        Returns:
            None for fewer than two images, or features that tell nothing apart.
        """
        step = -(-len(features) // _MOST_NEIGHBOURS) or 1
        neighbours = _unit(features[::step]).astype(np.float16).astype(np.float32)
        if len(neighbours) < 2 or not np.isfinite(neighbours).all():
            return None
        rank = min(_MOST_RANK, max(1, len(neighbours) // 20))
        cosines = neighbours @ neighbours.T
        np.fill_diagonal(cosines, -np.inf)  # nobody is a neighbour of their own
        return cls(neighbours, rank, np.sort(_distances(cosines, rank)))

    @classmethod
    def of_outputs(cls, outputs: Features) -> NoveltyStatistic | None:
        """Learn from logits or probabilities of validation images, shape (images, classes)."""
        if len(outputs) < 2:
            return None
        return cls(None, 1, np.sort(_largest_negated(outputs)))

    @property
    def needs_features(self) -> bool:
        """Whether it looks at features, not at outputs."""
        return self.neighbours is not None

    def novelty(self, values: Features) -> NDArray[np.float32]:
        """Return the novelty of images, 0-1, shape (images,).

        Each image is measured by itself: the result does not depend on its neighbours in a batch.

        Args:
            values: features, or outputs for a network without them, shape (images, numbers).
        """
        return self._share(np.array([self._distance(row) for row in values], np.float64))

    def _distance(self, row: Features) -> float:
        if self.neighbours is None:
            return float(_largest_negated(row[None])[0])
        # Not a matrix product: those round differently for different numbers of rows and threads.
        cosines = np.einsum("ij,j->i", self.neighbours, _unit(row[None])[0])
        return float(_distances(cosines[None], self.rank)[0])

    def _share(self, distances: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return where distances lie among those of the validation images.

        The i-th of n stands for i / (n + 1), with straight lines between; beyond the largest, the
        rest to 1 shrinks as 1 / (1 + excess / spread), so that stranger is always more novel.
        """
        known = self.distances
        steps = np.arange(1, len(known) + 1) / (len(known) + 1)
        values, last = np.unique(known[::-1], return_index=True)
        inside = np.interp(distances, values, steps[len(known) - 1 - last])
        spread = max(float(known[-1] - np.median(known)), 1e-6)
        excess = np.maximum(distances - known[-1], 0.0) / spread
        beyond = 1.0 - (1.0 - steps[-1]) / (1.0 + excess)
        below = np.where(distances < known[0], 0.0, inside)
        return np.minimum(
            np.where(excess > 0, beyond, below).astype(np.float32), _ALMOST_ONE
        ).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write arrays of numbers, never pickles."""
        neighbours = np.empty((0, 0)) if self.neighbours is None else self.neighbours
        with path.open("wb") as file:
            np.savez(
                file,
                neighbours=neighbours.astype(np.float16),
                rank=np.int64(self.rank),
                distances=self.distances,
            )

    @classmethod
    def load(cls, path: Path) -> NoveltyStatistic:
        """Read what `save` wrote; nothing in it is executed.

        Raises:
            CorruptModel: it is something else.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                neighbours, distances = arrays["neighbours"], arrays["distances"]
                rank = int(arrays["rank"])
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise corrupt(path, "the numbers that novelty is measured with", str(error)) from error
        is_usable = (
            neighbours.ndim == 2
            and neighbours.dtype == np.float16
            and distances.ndim == 1
            and distances.dtype == np.float64
            and len(distances) > 0
            and np.isfinite(distances).all()
            and 1 <= rank <= max(1, len(neighbours))
        )
        if not is_usable:
            raise corrupt(path, "the numbers that novelty is measured with", "others")
        known = neighbours.astype(np.float32) if len(neighbours) else None
        return cls(known, rank, distances)


def statistic_of(model: ImageModel) -> NoveltyStatistic:
    """Return what a model measures novelty with.

    Raises:
        WeightsNotFound: it was finished without (0162).
        CorruptModel: its file is damaged (0082).
    """
    if not model.has(NOVELTY):
        raise errors.WeightsNotFound(
            f"expected the file {NOVELTY}",
            where=str(model.path),
            got="a model that knows no validation images",
            action="Train it again with this version, or score without novelty.",
        )
    statistic = NoveltyStatistic.load(model.file(NOVELTY))
    if statistic.needs_features and model.description.inner_outputs is None:
        raise corrupt(model.path / NOVELTY, "novelty of a network without features", "another")
    return statistic


def _unit(features: Features) -> NDArray[np.float32]:
    features = features.astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", features, features))
    return features / np.maximum(lengths, 1e-12)[:, None]


def _distances(cosines: NDArray[np.float32], rank: int) -> NDArray[np.float64]:
    nearest = np.partition(cosines, cosines.shape[1] - rank, axis=1)[:, cosines.shape[1] - rank]
    return 1.0 - nearest.astype(np.float64)


def _largest_negated(outputs: Features) -> NDArray[np.float64]:
    return -outputs.max(axis=1).astype(np.float64)
