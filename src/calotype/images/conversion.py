"""One conversion: a pass over the headers of a source, and one over what was found.

The first pass reads headers and keeps a row for each image in a file beside the result; only then
is it known whether folders name categories. The second pass goes over those rows in batches, gives
categories and ids, reads contents if that was asked for, and writes the tables. Memory does not
grow with the number of images, but for 8 bytes each in an archive; it grows with the number of
folders.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from calotype import errors
from calotype.images import layout, manifest
from calotype.images.contents import ContentOptions, Contents
from calotype.images.fingerprint import DataDigest, SourceDigest
from calotype.images.formats import DEFAULT_LIMITS, EXTENSIONS, ImageLimits
from calotype.images.headers import HeaderReader, in_order, read_states
from calotype.images.layout import Labels, Layout
from calotype.images.manifest import Counts, ImageDirectoryInfo, Origin, SourceInfo
from calotype.images.repeated import RepeatedPaths
from calotype.images.skipped import SkippedList
from calotype.images.sources.source import Reason, Refused, Source
from calotype.images.spill import SpillWriter, read_spill
from calotype.progress import Progress
from calotype.tables import ArrowTable, RecordBatch

OnError = Literal["skip", "fail"]


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """What was asked for."""

    labels: Labels = "auto"
    copy: bool = False
    drop_duplicates: bool = False
    digest: bool = False
    limits: ImageLimits = DEFAULT_LIMITS
    on_error: OnError = "skip"

    @property
    def contents(self) -> ContentOptions:
        """What of it needs the contents of the images."""
        fails = self.on_error == "fail"
        return ContentOptions(self.copy, self.drop_duplicates, self.digest, fails)

    def origin(self, subject: Path, *, of: str = "") -> Origin:
        """Return the origin of what is made of `subject`, which has the fingerprint `of`."""
        options: dict[str, Any] = {
            "labels": self.labels,
            "copy": self.copy,
            "drop_duplicates": self.drop_duplicates,
            "digest": self.digest,
            "max_pixels": self.limits.max_pixels,
            "max_bytes": self.limits.max_bytes,
            "on_error": self.on_error,
        }
        if of:
            options["of"] = of
        return Origin(operation="convert", subject=str(subject), options=options)


def source_fingerprint(source: Source, *, left_out: Collection[Path]) -> str:
    """Return what a conversion would store as the fingerprint of the source, opening no image."""
    if source.fingerprint is not None:
        return source.fingerprint
    digest = SourceDigest()
    for chunk in source.chunks(left_out=left_out):
        digest.add(read_states(source, chunk))
    return digest.value


class Conversion:
    """One conversion of a source into a folder."""

    def __init__(
        self, source: Source, folder: Path, options: ConvertOptions, progress: Progress
    ) -> None:
        """Begin in an empty folder."""
        self._source = source
        self._folder = folder
        self._options = options
        self._progress = progress
        self._images_in: Counter[str] = Counter()
        self._folders: set[str] = set()
        self._repeated = RepeatedPaths()

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
            self._repeated.resolve(path for rows in read_spill(spill) for path in _paths(rows))
            plan = self._plan()
            info = self._write_images(spill, skipped, plan, fingerprint)
            if not info.counts.images:  # the last ones have vanished meanwhile
                raise _nothing_found(self._source, skipped)
        spill.unlink()
        info.save(self._folder)
        self._warn_of_empty(info)

    def _read_headers(self, spill: Path, skipped: SkippedList, left_out: Collection[Path]) -> str:
        """Do the first pass and return the fingerprint of the source."""
        fingerprint = self._source.fingerprint  # as of before anything is read
        self._source.prepare()
        digest = SourceDigest()
        limits, fails = self._options.limits, self._options.on_error == "fail"
        self._progress.begin("Reading headers", total=None, unit="images")
        try:
            with (
                HeaderReader(self._source, limits=limits, fails_on_error=fails) as reader,
                SpillWriter(spill) as rows,
                contextlib.closing(
                    in_order(reader.read, self._source.chunks(left_out=left_out))
                ) as chunks,
            ):
                for done in chunks:
                    rows.add(done.rows)
                    skipped.add(done.refused)
                    digest.add(done.states)
                    self._folders.update(done.folders)
                    if self._source.kind in ("zip", "tar"):
                        self._repeated.note(row.path for row in done.rows)
                    self._images_in.update(row.path.rpartition("/")[0] for row in done.rows)
                    self._progress.advance(len(done.rows))
        finally:
            self._progress.end()
        return fingerprint or digest.value

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
        images, counts = 0, Counter({name: 0 for name in plan.categories or ()})
        digest = DataDigest(fingerprint)
        with (
            manifest.image_table(self._folder) as table,
            Contents(source, self._folder, self._options.contents) as contents,
        ):
            for batch in read_spill(spill):
                labelled = self._labelled(self._without_replaced(batch, skipped), plan, skipped)
                taken = contents.take(_complete(labelled), skipped)
                ids = pa.array(range(images, images + len(taken)), pa.int64())
                table.add(manifest.with_column(taken, "id", ids))
                images += len(taken)
                counts.update(manifest.count_categories(taken))
                digest.add(taken)
        return ImageDirectoryInfo.make(
            categories=plan.categories or [],
            source=contents.source,
            counts=Counts(images=images, categories=dict(counts), skipped=dict(skipped.counts)),
            pending=None,
            fingerprint=digest.value,
            origin=self._options.origin(self._source.location),
        )

    def _without_replaced(self, batch: RecordBatch, skipped: SkippedList) -> ArrowTable:
        """Leave out members of an archive that come again later."""
        rows = pa.Table.from_batches([batch])
        is_replaced = [self._repeated.is_replaced(path) for path in rows["path"].to_pylist()]
        if not any(is_replaced):
            return rows
        lost = rows.filter(pa.array(is_replaced))["path"].to_pylist()
        skipped.add([Refused(path, Reason.REPLACED) for path in lost])
        return rows.filter(pa.array([not replaced for replaced in is_replaced]))

    def _labelled(self, rows: ArrowTable, plan: Layout, skipped: SkippedList) -> ArrowTable:
        """Give the rows their category, and leave out those at the wrong depth."""
        if plan.categories is None:
            return manifest.without_categories(rows)
        if self._source.categories is not None:
            return rows
        categories = plan.categories_of(rows["path"].to_pylist())
        rows = manifest.with_column(rows, "category", pa.array(categories, pa.string()))
        lost = rows.filter(rows["category"].is_null())["path"].to_pylist()
        skipped.add([Refused(path, Reason.WRONG_DEPTH) for path in lost])
        return rows.filter(rows["category"].is_valid())

    def _warn_of_empty(self, info: ImageDirectoryInfo) -> None:
        empty = [name for name, count in info.counts.categories.items() if count == 0]
        if empty:
            named = ", ".join(f"'{name}'" for name in empty[:5])
            more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
            self._progress.say(f"Warning: no image in {named}{more}; kept as a category.")


def _paths(rows: RecordBatch) -> list[str]:
    return rows["path"].to_pylist()


def _complete(rows: ArrowTable) -> ArrowTable:
    """Return rows of the first pass with all columns of an image table, ids and digests empty."""
    ids = pa.array([0] * len(rows), pa.int64())
    digests = pa.nulls(len(rows), pa.string())
    return rows.add_column(0, "id", ids).append_column("digest", digests)


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
