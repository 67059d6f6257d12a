"""Finding out what a path is: a folder, an archive, an image, another program's list of images."""

from __future__ import annotations

from pathlib import Path

from calotype.images.sources.folder import FileSource, FolderSource
from calotype.images.sources.source import Source
from calotype.progress import SILENCE, Progress


def open_source(path: Path, *, progress: Progress = SILENCE) -> Source:
    """Return the source at `path`; what it contains decides, not its name."""
    location = path.absolute()
    if location.is_dir():
        return FolderSource(location)
    return FileSource(location)
