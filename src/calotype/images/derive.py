"""Image directories made of another one: they refer to the same images, and copy none."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from calotype import errors, files
from calotype.images import manifest
from calotype.images.contents import NO_CONTENTS, ContentOptions, Contents
from calotype.images.fingerprint import DataDigest
from calotype.images.image_directory import ImageDirectory
from calotype.images.manifest import (
    Counts,
    ImageDirectoryInfo,
    Origin,
    PendingTransformation,
    SourceInfo,
)
from calotype.images.skipped import SkippedList
from calotype.tables import ArrowTable


def write_subset(
    directory: ImageDirectory, ids: NDArray[np.int64], out: Path, *, origin: Origin
) -> None:
    """Write an image directory of some images of another; see `ImageDirectory.subset`."""
    tables = (
        rows.filter(pa.array(_is_in(rows["id"].to_numpy(), ids))) for rows in directory.tables()
    )
    _write(directory.info, tables, _seen_from_elsewhere(directory), out, origin=origin)


def write_with_pending(
    directory: ImageDirectory, pending: PendingTransformation, out: Path
) -> None:
    """Write an image directory with a transformation; see `ImageDirectory.with_pending`."""
    if directory.pending is not None:
        raise errors.InvalidDataset(
            "expected an image directory without a transformation",
            where=str(directory.folder),
            got=f"one that is transformed for {directory.pending.mode} already",
            action="Apply the new transformation to the directory that this one was made of.",
        )
    subject = str(directory.folder.absolute())
    options = pending.model_dump(mode="json")
    origin = Origin(operation="transformation", subject=subject, options=options)
    info = directory.info.model_copy(update={"pending_transformation": pending})
    _write(info, directory.tables(), _seen_from_elsewhere(directory), out, origin=origin)


def write_again(
    directory: ImageDirectory,
    out: Path,
    *,
    origin: Origin,
    is_labeled: bool,
    contents: ContentOptions,
) -> None:
    """Write an image directory of the same images; see `calotype.images.convert`."""
    info = directory.info
    if not is_labeled:
        info = info.model_copy(update={"categories": []})
    source = _seen_from_elsewhere(directory)
    _write(info, directory.tables(), source, out, origin=origin, contents=contents)


def _is_in(some: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each of some ids is among others, which are ascending and not empty."""
    position = np.minimum(np.searchsorted(ids, some), len(ids) - 1)
    return ids[position] == some


def _write(
    info: ImageDirectoryInfo,
    tables: Iterator[ArrowTable],
    source: SourceInfo,
    out: Path,
    *,
    origin: Origin,
    contents: ContentOptions = NO_CONTENTS,
) -> None:
    """Write rows of another directory; `info` gives their categories and transformation."""
    manifest.check_place(out, origin)
    images, counts = 0, Counter({name: 0 for name in info.categories})
    pending = info.pending_transformation
    digest = DataDigest(info.fingerprint, pending.model_dump_json() if pending else "")
    with files.folder_aside(out) as folder:
        with (
            SkippedList(folder) as skipped,
            Contents(source, folder, contents) as taking,
            manifest.image_table(folder) as table,
        ):
            for rows in tables:
                labelled = rows if info.categories else manifest.without_categories(rows)
                taken = taking.take(labelled, skipped)
                table.add(taken)
                images += len(taken)
                counts.update(manifest.count_categories(taken))
                digest.add(taken)
        ImageDirectoryInfo.make(
            categories=info.categories,
            source=taking.source,
            counts=Counts(images=images, categories=dict(counts), skipped=dict(skipped.counts)),
            pending=pending,
            fingerprint=digest.value,
            origin=origin,
        ).save(folder)


def _seen_from_elsewhere(directory: ImageDirectory) -> SourceInfo:
    """Return where the images lie, by an absolute path also when they lie in the directory."""
    source = directory.info.source
    location = os.path.normpath(directory.folder.absolute() / source.location)
    return source.model_copy(update={"location": location})
