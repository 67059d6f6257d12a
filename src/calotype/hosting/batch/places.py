"""Where the files of a batch job lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calotype.hosting.layout import Layout
from calotype.workspace.location import Location


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
