"""Split Image Directory: two image directories of the images of one, chosen at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calotype import errors
from calotype.images import manifest
from calotype.images.image_directory import ImageDirectory
from calotype.images.manifest import Origin
from calotype.progress import SILENCE, Progress


def split(
    directory: ImageDirectory,
    out1: str | Path,
    out2: str | Path,
    *,
    fraction: float = 0.9,
    seed: int = 0,
    stratify: bool = True,
    progress: Progress = SILENCE,
) -> tuple[ImageDirectory, ImageDirectory]:
    """Split a directory in two; no image is copied, and ids and order are kept.

    The first output gets ``round(images * fraction)`` images, at least one and not all. Stratified,
    each category is divided in the same proportion as nearly as whole images allow, and one of two
    images or more is on both sides if the sizes allow it. The same seed gives the same split on
    every machine and with every version of numpy.

    Args:
        directory: what to split.
        out1: the folder of the first output.
        out2: the folder of the second output.
        fraction: part of the images in the first output, between 0 and 1.
        seed: chooses the images; any integer from 0.
        stratify: keep the proportions of the categories; without labels there are none.
        progress: warned about categories that are missing on one side.

    Raises:
        NotInRange: `fraction` is not between 0 and 1.
        NotGreaterOrEqual: `seed` is negative.
        TooFewRows: there are fewer than two images.
        AlreadyExists: an output is the other one, or holds something else than an earlier split.
        CannotWrite: an output cannot be written.
    """
    outs = Path(out1), Path(out2)
    _check(directory, outs, fraction, seed)
    is_stratified = stratify and directory.is_labeled
    groups = directory.category_indices() if is_stratified else np.zeros(len(directory), np.int32)
    is_first = choose(groups, fraction=fraction, seed=seed)
    ids = directory.ids()
    options = {"of": directory.info.fingerprint, "fraction": fraction, "seed": seed}
    subject = str(directory.folder.absolute())
    origins = [
        Origin(
            operation="split",
            subject=subject,
            options={**options, "stratify": stratify, "output": number},
        )
        for number in (1, 2)
    ]
    for out, origin in zip(outs, origins, strict=True):
        manifest.check_place(out, origin)
    first = directory.subset(ids[is_first], outs[0], origin=origins[0])
    second = directory.subset(ids[~is_first], outs[1], origin=origins[1])
    _warn_of_missing(first, second, progress)
    return first, second


def choose(groups: NDArray[np.int32], *, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Choose the images of the first output.

    Each image draws a random number; of each group those with the smallest numbers are chosen. The
    numbers come straight from the PCG64 bit generator, whose stream numpy guarantees (NEP 19); that
    of its higher methods may change between versions.

    Args:
        groups: the group of each image, shape (images,), at least two.
        fraction: part of the images to choose, between 0 and 1.
        seed: of the random numbers.

    Returns:
        Whether each image is chosen, shape (images,).
    """
    members, group_of = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group_of, minlength=len(members))
    total = min(max(math.floor(len(groups) * fraction + 0.5), 1), len(groups) - 1)
    wanted = np.array(allocate(sizes.tolist(), total=total))
    draws = np.random.PCG64(seed).random_raw(len(groups))
    order = np.lexsort((draws, group_of))  # by group, then by draw
    begins = np.cumsum(sizes) - sizes
    rank = np.arange(len(groups)) - begins[group_of[order]]
    is_first = np.empty(len(groups), np.bool_)
    is_first[order] = rank < wanted[group_of[order]]
    return is_first


def allocate(sizes: Sequence[int], *, total: int) -> list[int]:
    """Divide `total` among groups in proportion to their sizes, by largest remainder.

    A group of two or more gets at least one and not all, when that is possible for all of them.

    Args:
        sizes: the sizes of the groups; their sum is positive.
        total: how many to give out, at most the sum of the sizes.

    >>> allocate([50, 49, 1], total=90)
    [45, 44, 1]
    >>> allocate([10, 2], total=11)
    [9, 2]
    """
    size = np.array(sizes, np.int64)
    low, high = np.where(size > 1, 1, 0), np.where(size > 1, size - 1, size)
    if not low.sum() <= total <= high.sum():
        low, high = np.zeros_like(size), size
    # In units of 1 / size.sum(), so that the comparison of remainders is exact.
    exact = size * total
    given = np.clip(exact // size.sum(), low, high)
    while (missing := total - given.sum()) != 0:
        lack = (exact - given * size.sum()) * np.sign(missing)
        is_open = given < high if missing > 0 else given > low
        given[np.argmax(np.where(is_open, lack, np.iinfo(np.int64).min))] += np.sign(missing)
    return given.tolist()


def _check(directory: ImageDirectory, outs: tuple[Path, Path], fraction: float, seed: int) -> None:
    if not 0 < fraction < 1:
        raise errors.NotInRange(
            "must lie between 0 and 1", where="parameter 'fraction'", got=str(fraction)
        )
    if seed < 0:
        raise errors.NotGreaterOrEqual(
            "must be at least 0", where="parameter 'seed'", got=str(seed)
        )
    if len(directory) < 2:
        raise errors.TooFewRows(
            "expected at least two images", where=str(directory.folder), got=str(len(directory))
        )
    if outs[0].resolve() == outs[1].resolve():
        raise errors.AlreadyExists(
            "expected two different folders", where=str(outs[1]), action="Choose another folder."
        )


def _warn_of_missing(first: ImageDirectory, second: ImageDirectory, progress: Progress) -> None:
    for name, one, other in (("first", first, second), ("second", second, first)):
        counts, others = one.info.counts.categories, other.info.counts.categories
        missing = [category for category in counts if not counts[category] and others[category]]
        if missing:
            shown = ", ".join(f"'{category}'" for category in missing[:5])
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            progress.say(f"Warning: the {name} output has no image of {shown}{more}.")
