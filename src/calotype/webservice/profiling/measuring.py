"""A whole profile: start, warm up, measure with more and more callers, recommend."""

from __future__ import annotations

import http.client
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from calotype import errors
from calotype.progress import SILENCE, Progress
from calotype.resources import usable_cores
from calotype.webservice.package_files import PackageContent
from calotype.webservice.packaging import write_package
from calotype.webservice.profiling import bodies, load
from calotype.webservice.profiling.load import Body, Measurement
from calotype.webservice.profiling.running import Running, running
from calotype.webservice.profiling.sizing import Recommendation, is_worth_more, recommend
from calotype.workspace.service_settings import Inference
from calotype.workspace.workspace import Workspace

MOST_CALLERS: Final = 64
_WARM_UP_REQUESTS: Final = 5
_PATIENCE_MS: Final = 120_000  # nobody is refused: it is the waiting that is measured
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """What is measured, and how.

    Attributes:
        models: `name` or `name:version` of registered models.
        inference: what runs them; empty to serve the model without code.
        requests: what is sent, or makes it of the service's URI; empty for its own example.
        cores, memory_gb: what the service may use; 0 for all there is.
        duration_s: for each number of callers.
        requests_per_s: the rate that the service shall bear.
    """

    models: tuple[str, ...]
    inference: Inference = field(default_factory=Inference)
    requests: tuple[Body, ...] = ()
    cores: float = 0.0
    memory_gb: float = 0.0
    duration_s: float = 2.0
    requests_per_s: float | None = None
    allow_pickle: bool = False


@dataclass(frozen=True, slots=True)
class ProfileResult:
    """What was measured.

    Attributes:
        measured: the first with one caller, the others with more and more.
        peak_bytes: the most memory that all processes of the service had together.
    """

    models: tuple[str, ...]
    measured: tuple[Measurement, ...]
    peak_bytes: int
    recommendation: Recommendation

    @property
    def alone(self) -> Measurement:
        """What a single caller saw."""
        return self.measured[0]

    def to_document(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        return {
            "models": list(self.models),
            "measured": [one.to_document() for one in self.measured],
            "peak_memory_gb": round(self.peak_bytes / 1e9, 3),
            "recommended": self.recommendation.to_document(),
        }


def measure(
    workspace: Workspace, request: ProfileRequest, *, progress: Progress = SILENCE
) -> ProfileResult:
    """Serve models for real and measure how long they take, and what they need.

    Raises:
        NotFound: a model does not exist.
        OperationFailed: the service cannot be started, or does not answer what it is asked.
        OutOfMemory: it needs more than `memory_gb`.
    """
    cores = math.ceil(request.cores) or usable_cores()
    with tempfile.TemporaryDirectory(prefix="calotype-profile-") as folder:
        place = Path(folder) / "service"
        content = write_package(
            workspace,
            request.models,
            request.inference,
            place,
            workers=min(cores, 16),
            allow_pickle=request.allow_pickle,
        )
        return _measured(content, place, request, cores, progress)


def _measured(
    content: PackageContent, place: Path, request: ProfileRequest, cores: int, progress: Progress
) -> ProfileResult:
    environment = content.environment
    limits = ("--max-request-wait-ms", str(_PATIENCE_MS))
    with running(
        [*content.serve, *limits],
        place,
        python=environment.interpreter if environment else "",
        variables=environment.environment_variables if environment else None,
        cores=min(cores, usable_cores()),
        most_bytes=round(request.memory_gb * 1e9),
    ) as service:
        asked = request.requests or tuple(bodies.of_service(service.facts["scoring_uri"]))
        _warm_up(service, asked)
        measured = _rising(
            lambda callers: _one(service, asked, callers, request.duration_s), progress
        )
    is_script = bool(request.inference.entry_script) or "sklearn" in content.needs
    recommendation = recommend(
        measured,
        peak_bytes=service.peak_bytes,
        is_script=is_script,
        requests_per_s=request.requests_per_s,
    )
    return ProfileResult(content.models, tuple(measured), service.peak_bytes, recommendation)


def _rising(one: Callable[[int], Measurement], progress: Progress) -> list[Measurement]:
    """Measure with 1, 2, 4… callers until more of them get no more answers."""
    measured: list[Measurement] = []
    callers = 1
    while callers <= MOST_CALLERS and is_worth_more(measured):
        measured.append(one(callers))
        said = measured[-1]
        progress.say(
            f"{callers} at a time: {said.requests_per_s:,.0f} requests/s, "
            f"{said.mean_ms:.1f} ms, {said.cores:.1f} cores"
        )
        callers *= 2
    return measured


def _one(service: Running, asked: Sequence[Body], callers: int, duration_s: float) -> Measurement:
    before_s = service.cpu_s()
    measured = load.call(service.port, asked, callers=callers, duration_s=duration_s)
    return replace(measured, cpu_s=service.cpu_s() - before_s)


def _warm_up(service: Running, asked: Sequence[Body]) -> None:
    """Ask everything once, and the first a few times; everything must be answered well."""
    for body in [*[asked[0]] * _WARM_UP_REQUESTS, *asked]:
        try:
            status, said = load.ask(service.port, body)
        except (OSError, http.client.HTTPException) as error:
            raise errors.OperationFailed(
                "expected an answer", where="profile", got=str(error)
            ) from error
        if status != _OK:
            text = said.decode("utf-8", "replace")[:500]
            raise errors.OperationFailed(
                "expected the service to answer what it is asked",
                where="profile",
                got=f"{status} {text}",
                action="Give requests that it takes: --images DIR or -d body.json.",
            )
