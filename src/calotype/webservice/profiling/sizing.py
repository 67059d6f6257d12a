"""From what was measured to what a deployment should ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from calotype.webservice.profiling.load import Measurement

TARGET_UTILIZATION: Final = 0.7
WORTH_IT: Final = 1.10  # so much more throughput is worth further callers at a time
_MEMORY_RESERVE: Final = 1.25
_LEAST_GB: Final = 0.1


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What a deployment should ask for.

    Attributes:
        workers: processes of an entry script in each replica.
        replica_max_concurrent_requests: that each worker gets at a time.
        cpu_cores, memory_gb: of each replica.
        requests_per_s: what one replica answers at the target utilisation.
        latency_ms: the mean, with as many callers as a replica takes.
        num_replicas: for the rate that was asked for; None when none was.
    """

    workers: int
    replica_max_concurrent_requests: int
    cpu_cores: float
    memory_gb: float
    requests_per_s: float
    latency_ms: float
    num_replicas: int | None = None

    def to_document(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        return asdict(self)


def best_of(measured: Sequence[Measurement]) -> Measurement:
    """Return the smallest number of callers that more callers do not outdo by much."""
    best = measured[0]
    for one in measured[1:]:
        if one.requests_per_s > best.requests_per_s * WORTH_IT:
            best = one
    return best


def is_worth_more(measured: Sequence[Measurement]) -> bool:
    """Whether still more callers may get still more answers."""
    if len(measured) < 2:
        return True
    *earlier, last = measured
    return last.failures == 0 and last.requests_per_s > WORTH_IT * max(
        one.requests_per_s for one in earlier
    )


def replicas_for(
    requests_per_s: float,
    s_per_request: float,
    *,
    concurrent: int,
    utilization: float = TARGET_UTILIZATION,
) -> int:
    """Return how many replicas a rate of requests needs.

    >>> replicas_for(100, 0.05, concurrent=2)
    4
    """
    exact = requests_per_s * s_per_request / utilization / concurrent
    return max(math.ceil(round(exact, 9)), 1)


def recommend(
    measured: Sequence[Measurement],
    *,
    peak_bytes: int,
    is_script: bool,
    requests_per_s: float | None = None,
) -> Recommendation:
    """Return what a deployment should ask for.

    Args:
        measured: with rising numbers of callers, the first alone.
        peak_bytes: the most memory that was seen.
        is_script: each of its workers answers one request at a time.
        requests_per_s: the rate that the service shall bear.
    """
    best = best_of(measured)
    concurrent = best.callers
    s_per_request = best.mean_ms / 1000
    wanted = requests_per_s
    return Recommendation(
        workers=concurrent if is_script else 1,
        replica_max_concurrent_requests=1 if is_script else concurrent,
        cpu_cores=max(math.ceil(best.cores * 10) / 10, 0.1),
        memory_gb=max(math.ceil(peak_bytes * _MEMORY_RESERVE / 1e8) / 10, _LEAST_GB),
        requests_per_s=round(concurrent * TARGET_UTILIZATION / max(s_per_request, 1e-6), 2),
        latency_ms=round(best.mean_ms, 3),
        num_replicas=(
            None if wanted is None else replicas_for(wanted, s_per_request, concurrent=concurrent)
        ),
    )
