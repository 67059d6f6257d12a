"""Profiles under the names of the retired SDK."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from calotype import errors
from calotype.webservice.dataset import Dataset
from calotype.webservice.deploying import references_of
from calotype.webservice.exceptions import WebserviceException, told_as
from calotype.webservice.inference_config import InferenceConfig
from calotype.webservice.model import Model
from calotype.webservice.profiling import bodies
from calotype.webservice.profiling.load import Body
from calotype.webservice.profiling.measuring import ProfileRequest, ProfileResult, measure
from calotype.workspace.runs import Run
from calotype.workspace.service_settings import Inference
from calotype.workspace.services import now
from calotype.workspace.workspace import Workspace

KIND: Final = "profile"
_DATASET: Final = "dataset:"


class ModelProfile:
    """What was measured of models; made by `Model.profile`, kept in the workspace.

    Args:
        workspace: where.
        name: of the profile; the latest of that name.

    Raises:
        WebserviceException: there is none.
    """

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.name = name
        found = workspace.runs.list(subject=name, kind=KIND)
        if not found:
            raise WebserviceException(f"expected a profile '{name}'", got="none of that name")
        self._run = found[0]

    def __repr__(self) -> str:
        return f"ModelProfile(workspace={self.workspace.name!r}, name={self.name!r})"

    @property
    def state(self) -> str:
        """Succeeded or Failed."""
        return self._run.state

    @property
    def error(self) -> dict[str, Any] | None:
        """Why it failed."""
        return self._run.error

    @property
    def recommended_cpu(self) -> float:
        """Cores of a replica."""
        return float(self._recommended("cpu_cores"))

    @property
    def recommended_memory_in_gb(self) -> float:
        """Memory of a replica."""
        return float(self._recommended("memory_gb"))

    recommended_memory = recommended_memory_in_gb

    @property
    def recommended_workers(self) -> int:
        """Processes of a script in a replica."""
        return int(self._recommended("workers"))

    @property
    def recommended_replica_max_concurrent_requests(self) -> int:
        """Requests that each of them gets at a time."""
        return int(self._recommended("replica_max_concurrent_requests"))

    @property
    def recommended_latency_in_ms(self) -> float:
        """The mean latency with these."""
        return float(self._recommended("latency_ms"))

    def wait_for_completion(self, show_output: bool = False) -> None:
        """Return: it was measured when `Model.profile` returned.

        Raises:
            WebserviceException: it failed.
        """
        if show_output:
            sys.stdout.write(f"{self.state}\n")
        self._check()

    def get_details(self) -> dict[str, Any]:
        """Return what was measured, under the names of the retired SDK.

        Raises:
            WebserviceException: it failed.
        """
        self._check()
        outputs = self._run.outputs
        alone = outputs["measured"][0]
        total = sum(one["requests"] for one in outputs["measured"])
        failed = sum(one["failures"] for one in outputs["measured"])
        recommended = outputs["recommended"]
        return {
            "name": self.name,
            "createdTime": self._run.created_at.isoformat(),
            "state": self.state,
            "modelIds": outputs["models"],
            "requestedCpu": self._run.inputs["cpu"],
            "requestedMemoryInGB": self._run.inputs["memory_in_gb"],
            "maxUtilizedCpu": max(one["cores"] for one in outputs["measured"]),
            "maxUtilizedMemoryInGB": outputs["peak_memory_gb"],
            "totalQueries": total,
            "successQueries": total - failed,
            "successRate": round(100 * (total - failed) / total, 3),
            "averageLatency": alone["mean_ms"],
            "latencyPercentile50": alone["p50_ms"],
            "latencyPercentile90": alone["p90_ms"],
            "latencyPercentile95": alone["p95_ms"],
            "latencyPercentile99": alone["p99_ms"],
            "latencyPercentile999": alone["p99.9_ms"],
            "measuredQueriesPerSecond": max(one["requests_per_s"] for one in outputs["measured"]),
            "recommendedCpu": recommended["cpu_cores"],
            "recommendedMemoryInGB": recommended["memory_gb"],
            "recommendedWorkers": recommended["workers"],
            "recommendedConcurrentRequests": recommended["replica_max_concurrent_requests"],
        }

    def get_results(self) -> dict[str, Any]:
        """Return what is recommended; the older name."""
        return {
            "name": self.name,
            "cpu": self.recommended_cpu,
            "memoryInGB": self.recommended_memory_in_gb,
        }

    def serialize(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {
            "name": self.name,
            "state": self.state,
            "error": self.error,
            "description": self._run.description,
            **self._run.outputs,
        }

    def _recommended(self, name: str) -> Any:
        self._check()
        return self._run.outputs["recommended"][name]

    def _check(self) -> None:
        if self.error is not None:
            raise WebserviceException(
                "expected a profile that succeeded",
                where=f"profile '{self.name}'",
                got=self.error["message"],
            )


def profile(
    workspace: Workspace,
    profile_name: str,
    models: Sequence[Model | str],
    inference_config: InferenceConfig | None = None,
    input_dataset: Any = None,
    *,
    cpu: float | None = None,
    memory_in_gb: float | None = None,
    description: str | None = None,
    duration_s: float = 2.0,
) -> ModelProfile:
    """Measure how long models take and what they need; see `Model.profile`.

    Args:
        workspace: where the models are.
        profile_name: of the result.
        models: registered ones.
        inference_config: what runs them; None for models that need no script.
        input_dataset: a dataset, registered or not, or `dataset:NAME`; a path of images, or of
            JSON, CSV or text files whose lines are requests, or a `Path` that is a pattern of
            such; or a value, text or list of them that is sent as JSON; the service's own example
            when left out.
        cpu: cores that it may use.
        memory_in_gb: memory that it may use.
        description: for people.
        duration_s: for each number of callers.

    Raises:
        WebserviceException: it cannot be served, or needs more memory.
    """
    inference = inference_config.build(workspace) if inference_config else Inference()
    request = ProfileRequest(
        references_of(models),
        inference,
        requests=tuple(bodies_of(input_dataset, workspace)),
        cores=cpu or 0.0,
        memory_gb=memory_in_gb or 0.0,
        duration_s=duration_s,
    )
    with told_as():
        recorded(workspace, profile_name, request, description=description or "")
    return ModelProfile(workspace, profile_name)


def recorded(
    workspace: Workspace, name: str, request: ProfileRequest, *, description: str = "", **more: Any
) -> ProfileResult:
    """Measure, and keep the result in the workspace, also that it failed.

    Raises:
        CalotypeError: the service cannot be measured.
    """
    inputs = {"cpu": request.cores or None, "memory_in_gb": request.memory_gb or None}
    run = Run(KIND, name, "Running", inputs=inputs, description=description, started_at=now())
    workspace.runs.add(run)
    try:
        result = measure(workspace, request, **more)
    except BaseException as error:
        told = {"message": str(error) or type(error).__name__}
        if isinstance(error, errors.CalotypeError):
            told["number"] = str(error.number)
        workspace.runs.change(run.id, state="Failed", ended_at=now(), error=told)
        raise
    outputs = result.to_document()
    workspace.runs.change(run.id, state="Succeeded", ended_at=now(), outputs=outputs)
    return result


def bodies_of(given: Any, workspace: Workspace) -> list[Body]:
    """Return the requests that an `input_dataset` stands for; none for None."""
    if given is None:
        return []
    with told_as():
        if isinstance(given, Dataset):
            return bodies.of_path(given.path_or_unpacked())
        if isinstance(given, Path) or (isinstance(given, str) and _is_there(given)):
            return bodies.of_source(Path(given))
        if isinstance(given, str) and given.startswith(_DATASET):
            found = workspace.datasets.find(given.removeprefix(_DATASET))
            return bodies.of_path(found.path_or_unpacked())
    return bodies.of_values(given if isinstance(given, list) else [given])


def _is_there(text: str) -> bool:
    try:
        return Path(text).exists()
    except OSError:  # a body, longer than a name may be
        return False
