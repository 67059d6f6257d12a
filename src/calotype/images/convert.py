"""Convert to Image Directory: a table of images that stay where they are."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Final

from calotype import errors, files
from calotype.images import derive, manifest
from calotype.images.conversion import Conversion, ConvertOptions, OnError, source_fingerprint
from calotype.images.formats import DEFAULT_LIMITS, ImageLimits
from calotype.images.image_directory import ImageDirectory
from calotype.images.layout import Labels
from calotype.images.manifest import Origin
from calotype.images.sources.opening import open_source
from calotype.progress import SILENCE, Progress

_UNCHANGED: Final = "{} has not changed since {} was made of it: nothing to do."


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
    options = ConvertOptions(labels, copy, drop_duplicates, digest, limits, on_error)
    if (Path(source) / manifest.INFO_NAME).is_file():
        return _convert_directory(ImageDirectory.load(source), out, options, progress)
    opened = open_source(Path(source), progress=progress)
    origin = options.origin(opened.location)
    manifest.check_place(out, origin)
    if (existing := _made_of(origin, out)) is not None:
        known = existing.info.source.fingerprint
        if known == source_fingerprint(opened, left_out=(out,)):
            progress.say(_UNCHANGED.format(source, out))
            return existing
    with files.folder_aside(out) as folder:
        Conversion(opened, folder, options, progress).run(left_out=(out, folder))
    return ImageDirectory.load(out)


@contextlib.contextmanager
def converted(
    source: Path, *, limits: ImageLimits, progress: Progress
) -> Generator[ImageDirectory]:
    """Convert into a temporary folder; see `ImageDirectory.open`."""
    opened = open_source(source, progress=progress)
    with tempfile.TemporaryDirectory(prefix="calotype-") as folder:
        conversion = Conversion(opened, Path(folder), ConvertOptions(limits=limits), progress)
        conversion.run(left_out=(Path(folder),))
        yield ImageDirectory.load(folder, is_temporary=True)


def _made_of(origin: Origin, out: Path) -> ImageDirectory | None:
    """Return the image directory in `out` if it is whole and has exactly this origin."""
    if not (out / manifest.INFO_NAME).exists():
        return None
    try:
        directory = ImageDirectory.load(out)
    except errors.CalotypeError:
        return None  # damaged: it is made again
    is_whole = directory.info.source.kind != "copy" or (out / manifest.COPY_NAME).exists()
    return directory if is_whole and directory.info.origin == origin else None


def _convert_directory(
    directory: ImageDirectory, out: Path, options: ConvertOptions, progress: Progress
) -> ImageDirectory:
    """Make an image directory of another, with its ids and its transformation."""
    if options.labels == "folders" and not directory.is_labeled:
        raise errors.NotLabeled("expected a labelled image directory", where=str(directory.folder))
    origin = options.origin(directory.folder.absolute(), of=directory.info.fingerprint)
    manifest.check_place(out, origin)
    if (existing := _made_of(origin, out)) is not None:
        progress.say(_UNCHANGED.format(directory.folder, out))
        return existing
    is_labeled = directory.is_labeled and options.labels != "none"
    derive.write_again(
        directory, out, origin=origin, is_labeled=is_labeled, contents=options.contents
    )
    return ImageDirectory.load(out)
