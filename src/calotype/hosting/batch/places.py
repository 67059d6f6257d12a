"""Where the files of a batch job lie."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from calotype import errors
from calotype.hosting.layout import Layout
from calotype.workspace.location import Location

LOCK: Final = ".lock"
"""In the folder of a result: held by the one job that writes into it."""


@dataclass(frozen=True, slots=True)
class JobPlaces:
    """The folder of one job, below that of its service, and removed with it.

    Attributes:
        folder: all of it.
        service: the folder of the service.
        results: where results go of jobs that name no place.
    """

    folder: Path
    service: Path
    results: Path

    @classmethod
    def of(cls, location: Location, service: str, id: str) -> JobPlaces:
        """Return the places of a job."""
        home = Layout.of(location).service(service)
        return cls(home / "jobs" / id, home, location.root / "results" / id)

    @property
    def lock(self) -> Path:
        """Held by the job's process while it lives."""
        return self.folder / "lock"

    @property
    def log(self) -> Path:
        """What the process and the script say."""
        return self.folder / "log"

    @property
    def scratch(self) -> Path:
        """For what is removed at the end."""
        return self.folder / "scratch"


def check_out(folder: Path) -> None:
    """Refuse a folder that no result can be written to; whose earlier result it has, a job finds.

    Raises:
        AlreadyExists: it holds something else.
        CannotWrite: it cannot be made, or written to.
    """
    from calotype.scored_dataset import RUN_FILE  # it takes its time to load

    if not (folder / RUN_FILE).exists():
        check_free(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise errors.write_error(error, where=str(folder)) from error


def check_free(folder: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        AlreadyExists: that is so.
    """
    if folder.is_file() or (folder.is_dir() and any(p.name != LOCK for p in folder.iterdir())):
        raise errors.AlreadyExists(
            "expected a new folder, an empty one or the result of an earlier job",
            where=str(folder),
            action="Choose another folder.",
        )
