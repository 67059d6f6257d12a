"""Batch services: whole datasets instead of single requests."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from calotype import errors
from calotype.hosting.batch.jobs import BatchJobs
from calotype.hosting.batch.settings import BatchSettings
from calotype.webservice.batch_configuration import BatchConfiguration
from calotype.webservice.batch_job import BatchJob
from calotype.webservice.exceptions import (
    WebserviceException,
    WebserviceNotFound,
    told_as,
)
from calotype.webservice.updating import update
from calotype.webservice.webservice import Webservice

if TYPE_CHECKING:
    from calotype.webservice.inference_config import InferenceConfig
    from calotype.webservice.model import Model

Output = Literal["append_row", "summary_only"]


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
        columns: Sequence[str] = (),
    ) -> BatchJob:
        """Begin to send all of a source through the service.

        Args:
            images: an image directory, a folder, an archive, an image, or a registered dataset; for
                an ONNX file or a scikit-learn model a CSV, Parquet or JSON lines file of rows, or
                a folder of such.
            output_path: the folder of the result; one in the workspace when left out. What an
                interrupted job of the same has left there is continued.
            mini_batch_size: files for `run` of a script, or rows for a model, at a time.
            retries: further attempts at a mini-batch that failed or took too long.
            error_threshold: the job fails when more images or rows do; -1: never.
            timeout_s: that a mini-batch may take.
            output_action: keep a row for each prediction, or only their number.
            register_as: also register the result as a dataset of this name.
            columns: of rows, those that the model is given; all when left out.

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
                    "columns": tuple(columns),
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
