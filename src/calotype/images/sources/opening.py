"""Finding out what a path is: a folder, an archive, an image, another program's list of images."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from calotype import errors
from calotype.images.formats import has_image_extension
from calotype.images.sources.coco import coco_source
from calotype.images.sources.folder import FileSource, FolderSource
from calotype.images.sources.original import original_source
from calotype.images.sources.source import Source, is_utf8
from calotype.images.sources.tar import TarSource
from calotype.images.sources.tar_index import BLOCK_BYTES, is_tar
from calotype.images.sources.unpacking import is_compressed
from calotype.images.sources.zip import ZipSource
from calotype.progress import SILENCE, Progress

_ARCHIVE_SUFFIXES: Final = (".zip", ".tar", ".gz", ".bz2", ".xz", ".tgz", ".tbz2", ".txz")


def open_source(path: Path, *, progress: Progress = SILENCE) -> Source:
    """Return the source at `path`; what a file contains decides, not its name.

    A folder that holds one archive and nothing else stands for the archive.

    Raises:
        InvalidDataset: there is nothing there, or nothing that holds images.
        InvalidArchive: it is called an archive and is none.
    """
    location = path.absolute()
    if not is_utf8(str(location)):
        raise _invalid(location, "a path that is not UTF-8")
    try:
        mode = location.stat().st_mode
        if stat.S_ISDIR(mode):
            return _open_folder(location, progress)
        if stat.S_ISREG(mode):
            return _open_file(location, progress)
    except OSError as error:
        raise _invalid(location, error.strerror or type(error).__name__) from error
    raise _invalid(location, "neither a file nor a folder")


def _open_folder(location: Path, progress: Progress) -> Source:
    listed = original_source(location) or coco_source(location)
    if listed is not None:
        return listed
    # Datasets are often registered as a folder with one archive in it.
    names = [path for path in location.iterdir() if not path.name.startswith(".")]
    if len(names) == 1 and names[0].is_file() and names[0].name.lower().endswith(_ARCHIVE_SUFFIXES):
        return _open_file(names[0], progress)
    return FolderSource(location)


def _open_file(location: Path, progress: Progress) -> Source:
    if has_image_extension(location.name):
        return FileSource(location)
    if is_compressed(location):
        return TarSource(location, is_compressed=True, progress=progress)
    with location.open("rb") as file:
        head = file.read(BLOCK_BYTES)
    if head.startswith((b"PK\3\4", b"PK\5\6", b"PK\7\x08")) or location.suffix.lower() == ".zip":
        return ZipSource(location, progress=progress)
    if is_tar(head):
        return TarSource(location)
    if location.name.lower().endswith(_ARCHIVE_SUFFIXES):
        raise errors.InvalidArchive(
            "expected an archive",
            where=str(location),
            got="a file of another format" if head else "an empty file",
            action="Copy or download it again.",
        )
    raise _invalid(location, "a file of another kind")


def _invalid(location: Path, got: str) -> errors.InvalidDataset:
    return errors.InvalidDataset(
        "expected a folder of images, an archive (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz), "
        "an image or an image directory",
        where=str(location),
        got=got,
        action="Check the path.",
    )
