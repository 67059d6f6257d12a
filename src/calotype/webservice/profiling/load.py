"""Callers: a number of them at a time, each sends its next request when it has its answer."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

import numpy as np

PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
_TIMEOUT_S: Final = 300.0
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Body:
    """One request that is sent again and again."""

    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """What so many callers saw.

    Attributes:
        callers: how many there were at a time.
        latencies_ms: of the answers that were good.
        failures: how many were not.
        elapsed_s: from the first request to the last answer.
        cpu_s: what all processes of the service have computed meanwhile.
    """

    callers: int
    latencies_ms: Sequence[float]
    failures: int
    elapsed_s: float
    cpu_s: float = 0.0

    @property
    def requests_per_s(self) -> float:
        """Good answers a second."""
        return len(self.latencies_ms) / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def mean_ms(self) -> float:
        """The mean latency."""
        return float(np.mean(self.latencies_ms)) if self.latencies_ms else 0.0

    @property
    def cores(self) -> float:
        """How many cores were busy."""
        return self.cpu_s / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def percentile_ms(self, percent: float) -> float:
        """Return the latency that so many percent of the answers did not exceed."""
        return float(np.percentile(self.latencies_ms, percent)) if self.latencies_ms else 0.0

    def to_document(self) -> dict[str, float]:
        """Return this as JSON has it."""
        percentiles = {
            f"p{percent:g}_ms": round(self.percentile_ms(percent), 3) for percent in PERCENTILES
        }
        return {
            "callers": self.callers,
            "requests": len(self.latencies_ms) + self.failures,
            "failures": self.failures,
            "requests_per_s": round(self.requests_per_s, 2),
            "mean_ms": round(self.mean_ms, 3),
            **percentiles,
            "cores": round(self.cores, 2),
        }


@dataclass(slots=True)
class _Caller:
    latencies_ms: list[float] = field(default_factory=list[float])
    failures: int = 0


def call(port: int, bodies: Sequence[Body], *, callers: int, duration_s: float) -> Measurement:
    """Send requests for a while.

    Args:
        port: of the service, on loopback.
        bodies: sent in turn.
        callers: how many requests are under way at a time.
        duration_s: no request is begun after that; each caller sends one at least.
    """
    turns = itertools.cycle(bodies)
    lock = threading.Lock()
    ends_s = time.monotonic() + duration_s
    made = [_Caller() for _ in range(callers)]

    def work(caller: _Caller) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)) as link:
            while True:
                with lock:
                    body = next(turns)
                began_s = time.perf_counter()
                if _is_answered(link, body):
                    caller.latencies_ms.append((time.perf_counter() - began_s) * 1000)
                else:
                    caller.failures += 1
                if time.monotonic() >= ends_s:
                    return

    threads = [threading.Thread(target=work, args=(one,), daemon=True) for one in made]
    began_s = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Measurement(
        callers,
        [latency for one in made for latency in one.latencies_ms],
        sum(one.failures for one in made),
        time.monotonic() - began_s,
    )


def ask(port: int, body: Body) -> tuple[int, bytes]:
    """Send one request; return status and body of the answer.

    Raises:
        OSError: there was no answer.
    """
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)) as link:
        link.request("POST", "/score", body.content, {"Content-Type": body.content_type})
        answer = link.getresponse()
        return answer.status, answer.read()


def _is_answered(link: http.client.HTTPConnection, body: Body) -> bool:
    try:
        link.request("POST", "/score", body.content, {"Content-Type": body.content_type})
        answer = link.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        link.close()  # the next request opens it anew
        return False
    return answer.status == _OK
