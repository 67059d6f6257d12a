"""What a replica hosts: the service that its plan asks for, on the cores that it may use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import Final, cast

from calotype.hosting.replica_plan import ReplicaPlan
from calotype.scoring.precision import PrecisionChoice
from calotype.serving.deployment import Deployment, model_service
from calotype.serving.entry.fork_client import ForkConfiguration
from calotype.serving.journal import Journal
from calotype.serving.service import Service

_BEFORE: Final[set[int]] = set()  # `limit_cores`


def service_of(plan: ReplicaPlan, journal: Journal) -> Service:
    """Return the service of a plan, not started.

    Raises:
        CalotypeError: the model cannot be used.
    """
    if not plan.script:
        precision = cast(PrecisionChoice, plan.precision)
        return model_service(
            Deployment(
                plan.front,
                model=plan.model,
                precision=precision,
                threads=plan.cpu_cores or None,
                all_cores_when_alone=plan.cpu_cores != 1,
            )
        )
    from calotype.serving.entry.script_service import ScriptService

    limits = plan.front.service
    configuration = ForkConfiguration(
        Path(plan.script),
        source_directory=Path(plan.source_directory) if plan.source_directory else None,
        model_directory=Path(plan.model_directory) if plan.model_directory else None,
        timeout_ms=limits.scoring_timeout_ms,
        max_json_depth=limits.max_json_depth,
        max_multipart_parts=limits.max_multipart_parts,
        environment=plan.variables,
        log_format=plan.front.log_format,
        python=plan.python,
    )
    return ScriptService(configuration, limits, journal)


def limit_cores(count: int) -> None:
    """Let this process and those that it starts use `count` cores only, where that can be said."""
    if not count or not hasattr(os, "sched_setaffinity"):
        return
    ours = sorted(os.sched_getaffinity(0))
    if count >= len(ours):
        return
    first = os.getpid() % len(ours)  # replicas spread over all cores
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {ours[(first + step) % len(ours)] for step in range(count)})
        _BEFORE.update(ours)


@contextlib.contextmanager
def on_all_cores() -> Generator[None]:
    """Let what this thread starts meanwhile use the cores from before `limit_cores`."""
    if not _BEFORE:
        yield
        return
    limited = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _BEFORE)
    try:
        yield
    finally:
        os.sched_setaffinity(0, limited)
