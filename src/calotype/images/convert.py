"""Convert to Image Directory: one pass over the headers of a source, one over what it found.

The first pass reads headers and keeps a row for each image in a file beside the result; only then
is it known whether folders name categories. The second pass goes over those rows in batches, gives
categories and ids, reads contents if that was asked for, and writes the tables. Memory does not
grow with the number of images; it grows with the number of folders.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Collection, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from calotype import errors, files
from calotype.images import layout, manifest
from calotype.images.contents import ContentOptions, Contents
from calotype.images.fingerprint import DataDigest, SourceDigest
from calotype.images.formats import DEFAULT_LIMITS, EXTENSIONS, ImageLimits
from calotype.images.headers import HeaderReader, in_order, read_states
from calotype.images.image_directory import ImageDirectory
from calotype.images.layout import Labels, Layout
from calotype.images.manifest import Counts, ImageDirectoryInfo, Origin, SourceInfo
from calotype.images.skipped import SkippedList
from calotype.images.sources.opening import open_source
from calotype.images.sources.source import Reason, Refused, Source
from calotype.images.spill import SpillWriter, read_spill
from calotype.progress import SILENCE, Progress
from calotype.tables import ArrowColumn, ArrowTable, RecordBatch

OnError = Literal["skip", "fail"]


@dataclass(frozen=True, slots=True)
class _Options:
    """What was asked for."""

    labels: Labels = "auto"
    copy: bool = False
    drop_duplicates: bool = False
    digest: bool = False
    limits: ImageLimits = DEFAULT_LIMITS
    on_error: OnError = "skip"

    @property
    def contents(self) -> ContentOptions:
        return ContentOptions(self.copy, self.drop_duplicates, self.digest)

    def origin(self, source: Source) -> Origin:
        options: dict[str, Any] = {
            "labels": self.labels,
            "copy": self.copy,
            "drop_duplicates": self.drop_duplicates,
            "digest": self.digest,
            "max_pixels": self.limits.max_pixels,
            "max_bytes": self.limits.max_bytes,
            "on_error": self.on_error,
        }
        return Origin(operation="convert", subject=str(source.location), options=options)


def convert(
    source: str | Path,
    out: str | Path,
    *,
    labels: Labels = "auto",
    copy: bool = False,
    drop_duplicates: bool = False,
    digest: bool = False,
    limits: ImageLimits = DEFAULT_LIMITS,
    on_error: OnError = "skip",
    progress: Progress = SILENCE,
) -> ImageDirectory:
    """Make an image directory of a folder, an archive, an image file or another image directory.

    The images stay where they are and only their headers are read. When `out` holds the result of
    the same conversion and no file has changed since, it is returned as it is.

    Args:
        source: a folder (of class folders or flat), a .zip or .tar(.gz/.bz2/.xz), an image file,
            or an image directory, ours or the retired designer's.
        out: the folder to write; an earlier conversion of the same source is replaced.
        labels: "auto" takes class folders as categories if there are any, "folders" demands
            them, "none" ignores them.
        copy: copy the images into one file beside the table, so that the source may go.
        drop_duplicates: take each content once; reads all images, 100 bytes of memory for each.
        digest: store the SHA-256 of each image; reads all images.
        limits: the largest image that is taken.
        on_error: "skip" lists an image that is unreadable or too large, "fail" raises for it.
        progress: told about the reading, and warned about empty categories.

    Raises:
        InvalidDataset: there is no such source, or no usable image in it.
        InvalidArchive: the archive is damaged, or a bomb.
        NotLabeled: `labels` is "folders", and there are no class folders.
        AlreadyExists: `out` holds something else.
        CannotWrite: `out` cannot be written.
    """
    out = Path(out)
    options = _Options(labels, copy, drop_duplicates, digest, limits, on_error)
    opened = open_source(Path(source), progress=progress)
    origin = options.origin(opened)
    manifest.check_place(out, origin)
    if (unchanged := _unchanged(out, origin, opened)) is not None:
        progress.say(f"{source} has not changed since {out} was made of it: nothing to do.")
        return unchanged
    with files.folder_aside(out) as folder:
        _Conversion(opened, folder, options, progress).run(left_out=(out, folder))
    return ImageDirectory.load(out)


@contextlib.contextmanager
def converted(
    source: Path, *, limits: ImageLimits, progress: Progress
) -> Generator[ImageDirectory]:
    """Convert into a temporary folder; see `ImageDirectory.open`."""
    opened = open_source(source, progress=progress)
    with tempfile.TemporaryDirectory(prefix="calotype-") as folder:
        _Conversion(opened, Path(folder), _Options(limits=limits), progress).run()
        yield ImageDirectory.load(folder, is_temporary=True)


def _unchanged(out: Path, origin: Origin, source: Source) -> ImageDirectory | None:
    """Return what `out` holds if converting again would make the same."""
    if not (out / manifest.INFO_NAME).exists():
        return None
    try:
        directory = ImageDirectory.load(out)
    except errors.CalotypeError:
        return None  # damaged: it is made again
    is_whole = directory.info.source.kind != "copy" or (out / manifest.COPY_NAME).exists()
    if not is_whole or directory.info.origin != origin:
        return None
    known = directory.info.source.fingerprint
    return directory if known == _fingerprint(source, left_out=(out,)) else None


def _fingerprint(source: Source, *, left_out: Collection[Path]) -> str:
    """Return what a conversion would store as the fingerprint of the source, opening no image."""
    if source.fingerprint is not None:
        return source.fingerprint
    digest = SourceDigest()
    for chunk in source.chunks(left_out=left_out):
        digest.add(read_states(source, chunk))
    return digest.value


class _Conversion:
    """One conversion of a source into a folder."""

    def __init__(self, source: Source, folder: Path, options: _Options, progress: Progress) -> None:
        self._source = source
        self._folder = folder
        self._options = options
        self._progress = progress
        self._images_in: Counter[str] = Counter()
        self._folders: set[str] = set()

    def run(self, *, left_out: Collection[Path] = ()) -> None:
        """Write the image directory.

        Args:
            left_out: folders inside the source that are not part of it.
        """
        spill = self._folder / "headers.arrow"
        with SkippedList(self._folder) as skipped:
            fingerprint = self._read_headers(spill, skipped, left_out)
            if not self._images_in:
                raise _nothing_found(self._source, skipped)
            plan = self._plan()
            info = self._write_images(spill, skipped, plan, fingerprint)
        spill.unlink()
        info.save(self._folder)
        self._warn_of_empty(info)

    def _read_headers(self, spill: Path, skipped: SkippedList, left_out: Collection[Path]) -> str:
        """Do the first pass and return the fingerprint of the source."""
        digest = SourceDigest()
        limits, fails = self._options.limits, self._options.on_error == "fail"
        self._progress.begin("Reading headers", total=None, unit="images")
        try:
            with (
                HeaderReader(self._source, limits=limits, fails_on_error=fails) as reader,
                SpillWriter(spill) as rows,
            ):
                for done in in_order(reader.read, self._source.chunks(left_out=left_out)):
                    rows.add(done.rows)
                    skipped.add(done.refused)
                    digest.add(done.states)
                    self._folders.update(done.folders)
                    self._images_in.update(row.path.rpartition("/")[0] for row in done.rows)
                    self._progress.advance(len(done.rows))
        finally:
            self._progress.end()
        return self._source.fingerprint or digest.value

    def _plan(self) -> Layout:
        labels, given = self._options.labels, self._source.categories
        if given is None or labels == "none":
            return layout.decide(self._images_in, self._folders, labels=labels)
        if labels == "folders" and not given:
            raise errors.NotLabeled("expected labels", where=str(self._source.location))
        return Layout("", sorted(given) or None)

    def _write_images(
        self, spill: Path, skipped: SkippedList, plan: Layout, fingerprint: str
    ) -> ImageDirectoryInfo:
        """Do the second pass and return the document of the directory."""
        source = SourceInfo(
            kind=self._source.kind, location=str(self._source.location), fingerprint=fingerprint
        )
        counts = Counter({name: 0 for name in plan.categories or ()})
        images = 0
        digest = DataDigest(fingerprint)
        with (
            manifest.image_table(self._folder) as table,
            Contents(source, self._folder, self._options.contents) as contents,
        ):
            for batch in read_spill(spill):
                rows = contents.take(self._labelled(batch, plan, skipped), skipped)
                ids = pa.array(range(images, images + len(rows)), pa.int64())
                table.add(rows.add_column(0, manifest.IMAGE_COLUMNS.field("id"), ids))
                images += len(rows)
                counts.update(manifest.count_categories(rows))
                digest.add(rows)
            source = contents.source
        return ImageDirectoryInfo.make(
            categories=plan.categories or [],
            source=source,
            counts=Counts(images=images, categories=dict(counts), skipped=dict(skipped.counts)),
            pending=None,
            fingerprint=digest.value,
            origin=self._options.origin(self._source),
        )

    def _labelled(self, batch: RecordBatch, plan: Layout, skipped: SkippedList) -> ArrowTable:
        """Give the rows their category, and leave out those at the wrong depth."""
        rows = pa.Table.from_batches([batch])
        if plan.categories is None:
            return _with(rows, "category", pa.nulls(len(rows), pa.string()))
        if self._source.categories is not None:
            return rows
        categories = plan.categories_of(rows["path"].to_pylist())
        rows = _with(rows, "category", pa.array(categories, pa.string()))
        lost = rows.filter(rows["category"].is_null())["path"].to_pylist()
        skipped.add([Refused(path, Reason.WRONG_DEPTH) for path in lost])
        return rows.filter(rows["category"].is_valid())

    def _warn_of_empty(self, info: ImageDirectoryInfo) -> None:
        empty = [name for name, count in info.counts.categories.items() if count == 0]
        if empty:
            named = ", ".join(f"'{name}'" for name in empty[:5])
            more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
            self._progress.say(f"Warning: no image in {named}{more}; kept as a category.")


def _with(rows: ArrowTable, name: str, column: ArrowColumn) -> ArrowTable:
    return rows.set_column(rows.schema.get_field_index(name), name, column)


def _nothing_found(source: Source, skipped: SkippedList) -> errors.InvalidDataset:
    """Return the error that says what was found instead of images."""
    seen = sum(skipped.counts.values())
    kinds = [
        f"{count:,} {reason} ({', '.join(skipped.examples[reason])}{', …' * (count > 3)})"
        for reason, count in skipped.counts.most_common()
    ]
    extensions = ", ".join(sorted(EXTENSIONS))
    return errors.InvalidDataset(
        f"expected at least one readable image ({extensions})",
        where=str(source.location),
        got=f"{seen:,} files: " + "; ".join(kinds) if kinds else f"an empty {source.kind}",
        action="Check the path, or convert the archive itself if the folder holds one.",
    )
