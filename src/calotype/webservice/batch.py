"""Batch services: whole folders of images instead of single requests."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Self

from calotype import errors
from calotype.hosting.batch.jobs import BatchJobs, Job
from calotype.hosting.batch.settings import BatchSettings
from calotype.webservice.batch_configuration import BatchConfiguration
from calotype.webservice.exceptions import (
    WebserviceException,
    WebserviceNotFound,
    told_as,
)
from calotype.webservice.updating import update
from calotype.webservice.webservice import Webservice
from calotype.workspace.workspace import Workspace

if TYPE_CHECKING:
    from calotype.webservice.inference_config import InferenceConfig
    from calotype.webservice.model import Model

Output = Literal["append_row", "summary_only"]


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


class BatchWebservice(Webservice):
    """A batch service: it answers no requests, and takes jobs.

    Args:
        workspace: where.
        name: of the service.

    Raises:
        WebserviceNotFound: there is none of that name.
        WebserviceException: the service answers requests instead.
    """

    compute_type: ClassVar[str] = "Batch"
    scoring_uri: ClassVar[None] = None  # pyright: ignore[reportIncompatibleMethodOverride]
    swagger_uri: ClassVar[None] = None  # pyright: ignore[reportIncompatibleMethodOverride]

    @staticmethod
    def deploy_configuration(
        workers: int | None = None,
        precision: str | None = None,
        tags: dict[str, str] | None = None,
        properties: dict[str, str] | None = None,
        description: str | None = None,
    ) -> BatchConfiguration:
        """Return what `Model.deploy` needs to know.

        Args:
            workers: processes that run an entry script.
            precision: of an image model: auto, fp32, bf16 or int8.
            tags: names and values that can be changed.
            properties: names and values that stay.
            description: for people.
        """
        return BatchConfiguration(
            workers=workers,
            precision=precision,
            tags=tags,
            properties=properties,
            description=description,
        )

    @property
    def state(self) -> str:
        """Healthy: nothing has to run before a job is submitted."""
        return self.record().state

    @property
    def error(self) -> dict[str, str] | None:
        """None: what goes wrong is an error of a job."""
        return self.record().error

    def wait_for_deployment(
        self, show_output: bool = False, timeout_sec: float | None = None
    ) -> None:
        """Return: it is ready at once."""
        self.record()

    def update(
        self,
        models: Sequence[Model | str] | None = None,
        inference_config: InferenceConfig | None = None,
        deployment_config: BatchConfiguration | None = None,
    ) -> None:
        """Change it; jobs that run go on as they began.

        Args:
            models: all of its models.
            inference_config: what runs them.
            deployment_config: of `BatchWebservice`.

        Raises:
            WebserviceException: there is nothing to change, or it cannot be changed so.
        """
        values = deployment_config.values if deployment_config else {}
        update(self, values, models=models, inference_config=inference_config)

    def run(self, input: Any = None, *, input_data: Any = None) -> NoReturn:
        """A batch service answers no requests.

        Raises:
            WebserviceException: always.
        """
        self._refuse("submit() takes a folder of images.")

    def get_logs(self, num_lines: int = 5000, init: bool = False) -> NoReturn:
        """Each job has a log of its own.

        Raises:
            WebserviceException: always.
        """
        self._refuse("job(id).get_logs() has what a job said.")

    def submit(
        self,
        images: str | Path,
        output_path: str | Path | None = None,
        *,
        mini_batch_size: int = 10,
        retries: int = 3,
        error_threshold: int = -1,
        timeout_s: float = 30.0,
        output_action: Output = "append_row",
        register_as: str = "",
    ) -> BatchJob:
        """Begin to send all images of a source through the service.

        Args:
            images: an image directory, a folder, an archive, an image, or a registered dataset.
            output_path: the folder of the result; one in the workspace when left out. What an
                interrupted job of the same has left there is continued.
            mini_batch_size: files that `run` of a script gets at a time.
            retries: further attempts at a mini-batch that failed or took too long.
            error_threshold: the job fails when more images do; -1: never.
            timeout_s: that a mini-batch may take.
            output_action: keep a row for each prediction, or only their number.
            register_as: also register the result as a dataset of this name.

        Raises:
            WebserviceException: a value cannot be used, or there is nothing at `images`.
        """
        with told_as(not_found=WebserviceNotFound):
            settings = BatchSettings.of(
                {
                    "mini_batch_size": mini_batch_size,
                    "retries": retries,
                    "error_threshold": error_threshold,
                    "timeout_s": timeout_s,
                    "output_action": output_action,
                }
            )
            job = BatchJobs(self.workspace).submit(
                self.name, images, out=output_path, settings=settings, register_as=register_as
            )
        return BatchJob(self.workspace, job.id)

    def jobs(self) -> builtins.list[BatchJob]:
        """Return its jobs, newest first."""
        with told_as():
            found = BatchJobs(self.workspace).list(self.name)
        return [BatchJob(self.workspace, one.id) for one in found]

    def job(self, id: str) -> BatchJob:
        """Return one of its jobs.

        Raises:
            WebserviceException: it has none of that id.
        """
        job = BatchJob(self.workspace, id)
        if job.service != self.name:
            raise WebserviceException(
                f"expected a job of service '{self.name}'",
                where=f"batch job '{id}'",
                got=f"one of service '{job.service}'",
            )
        return job

    def serialize(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        record = self.record()
        return {
            "name": record.name,
            "description": record.description,
            "tags": dict(record.tags),
            "properties": dict(record.properties),
            "state": record.state,
            "createdTime": record.created_at.isoformat(),
            "updatedTime": record.updated_at.isoformat(),
            "error": record.error,
            "computeType": self.compute_type,
            "workspaceName": self.workspace.name,
            "createdBy": record.created_by,
            "modelIds": builtins.list(record.models),
        }

    def _refuse(self, action: str) -> NoReturn:
        with told_as():
            raise errors.NotSupported(
                "expected a service that answers requests",
                where=f"service '{self.name}'",
                got="one for batches",
                action=action,
            )


def _show(job: Job) -> None:
    told = job.progress
    done = f" {told['done']:,} of {told['total']:,} {told['unit']}" if told.get("total") else ""
    note = f", {told['note']}" if told.get("note") else ""
    sys.stdout.write(f"{job.state}{done}{note}\n")
    sys.stdout.flush()


def _nothing(_job: Job) -> None: ...
