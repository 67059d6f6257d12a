"""Image directories made of another one: they refer to the same images, and copy none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from calotype import errors, files
from calotype.images import manifest
from calotype.images.fingerprint import DataDigest
from calotype.images.image_directory import ImageDirectory
from calotype.images.manifest import Counts, ImageDirectoryInfo, Origin, PendingTransformation
from calotype.tables import ArrowTable


def write_subset(
    directory: ImageDirectory, ids: NDArray[np.int64], out: Path, *, origin: Origin
) -> None:
    """Write an image directory of some images of another; see `ImageDirectory.subset`."""
    tables = (
        rows.filter(pa.array(np.isin(rows["id"].to_numpy(), ids, assume_unique=True)))
        for rows in directory.tables()
    )
    _write(directory, tables, out, origin=origin, pending=directory.pending)


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
    _write(directory, directory.tables(), out, origin=origin, pending=pending)


def _write(
    directory: ImageDirectory,
    tables: Iterator[ArrowTable],
    out: Path,
    *,
    origin: Origin,
    pending: PendingTransformation | None,
) -> None:
    manifest.check_place(out, origin)
    images, counts = 0, Counter({name: 0 for name in directory.categories})
    transformed = pending.model_dump_json() if pending else ""
    digest = DataDigest(directory.info.fingerprint, transformed)
    with files.folder_aside(out) as folder:
        with manifest.image_table(folder) as table:
            for rows in tables:
                table.add(rows)
                images += len(rows)
                counts.update(manifest.count_categories(rows))
                digest.add(rows)
        ImageDirectoryInfo.make(
            categories=directory.categories,
            source=_seen_from_elsewhere(directory),
            counts=Counts(images=images, categories=dict(counts), skipped={}),
            pending=pending,
            fingerprint=digest.value,
            origin=origin,
        ).save(folder)


def _seen_from_elsewhere(directory: ImageDirectory) -> manifest.SourceInfo:
    """Return where the images lie, by an absolute path also when they lie in the directory."""
    source = directory.info.source
    location = directory.folder.absolute() / source.location
    return source.model_copy(update={"location": str(location)})
