"""One batch job as it is now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calotype.hosting.batch.states import RUNNING_STATES
from calotype.workspace.runs import Run


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it is now.

    Attributes:
        state: see `states.JobState`; it tells the truth about the process.
        out: the folder of the result.
    """

    id: str
    service: str
    state: str
    images: str
    out: Path
    settings: dict[str, Any]
    progress: dict[str, Any]
    outputs: dict[str, Any]
    error: dict[str, Any] | None
    host: str
    created_at: str
    created_by: str
    started_at: str | None
    ended_at: str | None

    @property
    def is_over(self) -> bool:
        """Whether nothing is being done any more."""
        return self.state not in RUNNING_STATES

    def to_document(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}


def job_of(run: Run, state: str) -> Job:
    """Return what a record says, with the state that is true."""
    return Job(
        run.id,
        run.subject,
        state,
        str(run.inputs["source"]),
        Path(run.inputs["out"]),
        run.inputs["settings"],
        run.progress,
        run.outputs,
        run.error,
        run.host,
        run.created_at.isoformat(),
        run.created_by,
        run.started_at.isoformat() if run.started_at else None,
        run.ended_at.isoformat() if run.ended_at else None,
    )


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
