"""The cache of unpacked archives: one plain tar archive for each compressed one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

from calotype import errors, files
from calotype.images.sources.source import digest_of, file_fingerprint
from calotype.images.sources.unpacking import (
    DEFAULT_UNPACK_LIMITS,
    UnpackLimits,
    is_compressed,
    unpack_stream,
    unpack_zip,
)
from calotype.progress import SILENCE, Progress

_CONTAINER_PREFIX: Final = "unpacked:"
_LOOK_AGAIN_S: Final = 0.1


def container_name(archive: Path) -> str:
    """Return how image tables call what an archive was unpacked into."""
    return _CONTAINER_PREFIX + _cached(archive).name


def is_container(name: str) -> bool:
    """Return whether a container is an unpacked archive."""
    return name.startswith(_CONTAINER_PREFIX)


def plain_tar(
    archive: Path, *, progress: Progress = SILENCE, limits: UnpackLimits = DEFAULT_UNPACK_LIMITS
) -> Path:
    """Return the plain tar archive of a compressed archive; it is made unless it is there.

    Several processes may ask at once: one unpacks, the others wait for it. What an earlier
    content of the same archive was unpacked into is removed.

    Raises:
        InvalidArchive: the archive is damaged, or a bomb.
        CannotWrite: the cache cannot be written, or the disk is full.
    """
    cached = _cached(archive)
    if cached.exists():
        return cached
    path_key = cached.name.partition("-")[0]
    with _waiting_for(cached.with_name(f"{path_key}.lock"), archive, progress):
        if cached.exists():
            return cached
        for old in [*cached.parent.glob(f"{path_key}-*"), *cached.parent.glob(f".{path_key}-*")]:
            old.unlink(missing_ok=True)
        with files.aside(cached) as out:
            unpack = unpack_stream if is_compressed(archive) else unpack_zip
            unpack(archive, out, limits=limits, progress=progress)
    return cached


def _cached(archive: Path) -> Path:
    archive = archive.absolute()
    name = f"{digest_of(str(archive))}-{file_fingerprint(archive)}.tar"
    return files.user_cache() / "unpacked" / name


@contextlib.contextmanager
def _waiting_for(lock: Path, archive: Path, progress: Progress) -> Generator[None]:
    """Hold the lock file, when another process has let it go."""
    with contextlib.ExitStack() as held:
        has_told = False
        while True:
            try:
                held.enter_context(files.locked(lock, what=str(archive)))
                break
            except errors.Busy:
                if not has_told:
                    progress.say(f"Another process is unpacking {archive}: waiting for it.")
                has_told = True
                time.sleep(_LOOK_AGAIN_S)
        yield
