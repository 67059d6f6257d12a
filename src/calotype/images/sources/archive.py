"""What the sources have in common whose images lie in one archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calotype.images.sources import unpacked
from calotype.images.sources.source import file_fingerprint
from calotype.images.sources.unpacking import DEFAULT_UNPACK_LIMITS, UnpackLimits
from calotype.progress import SILENCE, Progress


@dataclass(frozen=True)
class Archive:
    """An archive in one file, and its unpacked twin.

    Attributes:
        location: the archive.
        progress: is told about the unpacking.
        limits: what is taken for a bomb.
        categories: none are declared; class folders tell them.
    """

    location: Path
    progress: Progress = SILENCE
    limits: UnpackLimits = DEFAULT_UNPACK_LIMITS
    categories: list[str] | None = None

    @property
    def root(self) -> Path:
        """The folder of the archive."""
        return self.location.parent

    @property
    def fingerprint(self) -> str:
        """A digest of the archive's size and time of modification."""
        return file_fingerprint(self.location)

    def plain(self) -> Path:
        """Return the plain tar that its compressed members were unpacked into, once."""
        return unpacked.plain_tar(self.location, progress=self.progress, limits=self.limits)
