"""One run of a set of images through a batch service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Self

from calotype.hosting.batch.job import Job
from calotype.hosting.batch.jobs import BatchJobs
from calotype.webservice.exceptions import WebserviceException, told_as
from calotype.workspace.workspace import Workspace


class BatchJob:
    """One run of a set of images through a batch service, in a process of its own.

    It goes on when the program that submitted it ends; `BatchWebservice.job` finds it again.

    Args:
        workspace: where.
        id: of the job.

    Raises:
        WebserviceException: there is none of that id.
    """

    def __init__(self, workspace: Workspace, id: str) -> None:
        self.workspace = workspace
        self._jobs = BatchJobs(workspace)
        with told_as():
            self._job = self._jobs.get(id)

    def __repr__(self) -> str:
        return f"BatchJob(service={self.service!r}, id={self.id!r}, state={self.state!r})"

    @property
    def id(self) -> str:
        """Its name."""
        return self._job.id

    @property
    def service(self) -> str:
        """The name of its service."""
        return self._job.service

    @property
    def state(self) -> str:
        """Starting, Running, Canceling, Completed, Failed, Canceled or Interrupted, now."""
        return self._now().state

    @property
    def progress(self) -> dict[str, Any]:
        """`done`, `total`, `unit`, `note` and `per_s`, now; empty before the first."""
        return dict(self._now().progress)

    @property
    def error(self) -> dict[str, Any] | None:
        """`number`, `message` and `trace` of why it failed."""
        return self._now().error

    @property
    def counts(self) -> dict[str, int]:
        """How many images there were, with a prediction and without; empty before its end."""
        return dict(self._now().outputs.get("counts", {}))

    @property
    def output_path(self) -> Path:
        """The folder of the result: a scored dataset, or predictions of a script."""
        return self._job.out

    def wait(self, show_output: bool = False, timeout_s: float | None = None) -> Self:
        """Return when the job is over.

        Args:
            show_output: print its progress.
            timeout_s: how long to wait at most.

        Raises:
            WebserviceException: it failed, was cancelled or interrupted; with the reason.
        """
        with told_as():
            show = _show if show_output else _nothing
            self._job = self._jobs.wait(self.id, timeout_s=timeout_s, on_change=show)
        if self._job.state != "Completed":
            told = self._job.error or {}
            if show_output and told.get("trace"):
                sys.stdout.write(f"{told['trace']}\n")
            raise WebserviceException(
                "expected the job to be completed",
                where=f"batch job '{self.id}'",
                got=f"{self._job.state}: {told['message']}" if told else self._job.state,
                action="get_logs() has all that it said; resume() goes on where it stopped.",
            )
        return self

    def result(self) -> Any:
        """Return the result: a `ScoredDataset` of an image model, a DataFrame of a script.

        Raises:
            WebserviceException: the job is not completed, or kept a summary only.
        """
        job = self._now()
        if job.state != "Completed" or job.settings["output_action"] != "append_row":
            raise WebserviceException(
                "expected a completed job that keeps rows",
                where=f"batch job '{self.id}'",
                got=f"{job.state}, {job.settings['output_action']}",
            )
        predictions = job.out / "predictions.parquet"
        if predictions.is_file():
            import pandas as pd

            return pd.read_parquet(predictions)
        from calotype.scored_dataset import ScoredDataset

        with told_as():
            return ScoredDataset.load(job.out)

    def cancel(self) -> None:
        """End it; what is done stays."""
        with told_as():
            self._job = self._jobs.cancel(self.id)

    def resume(self) -> Self:
        """Go on where it stopped, after it was interrupted or cancelled or has failed.

        Raises:
            WebserviceException: it is still running.
        """
        with told_as():
            self._job = self._jobs.resume(self.id)
        return self

    def get_logs(self, num_lines: int = 5000) -> str:
        """Return the last lines of what the job and its script said."""
        with told_as():
            return self._jobs.log(self.id, num_lines=num_lines)

    def serialize(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        return self._now().to_document()

    def _now(self) -> Job:
        with told_as():
            self._job = self._jobs.get(self.id)
        return self._job


def _show(job: Job) -> None:
    told = job.progress
    done = f" {told['done']:,} of {told['total']:,} {told['unit']}" if told.get("total") else ""
    note = f", {told['note']}" if told.get("note") else ""
    sys.stdout.write(f"{job.state}{done}{note}\n")
    sys.stdout.flush()


def _nothing(_job: Job) -> None: ...
