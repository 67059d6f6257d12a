"""Looking after replicas that are ready: whether they answer, and how much memory they hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from calotype.hosting import processes
from calotype.hosting.kept_replica import KeptReplica

if TYPE_CHECKING:
    from calotype.workspace.service_settings import RuntimeSettings
    from calotype.workspace.services import Version

_LOOK_EVERY_S: Final = 2.0
_WEIGH_EVERY_S: Final = 1.0


class ReplicaWatch:
    """Watches the replicas of one version.

    Args:
        later: does something beside the rest.

    Attributes:
        pulse_s: how often it has to look.
    """

    def __init__(self, later: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self.pulse_s = 1.0
        self._later = later
        self._weighed_s = 0.0

    def look(self, version: Version, replicas: Sequence[KeptReplica]) -> None:
        """Begin to look at those that it is time for, and end those that are past help."""
        now_s = time.monotonic()
        weighs = now_s - self._weighed_s >= _WEIGH_EVERY_S
        if weighs:
            self._weighed_s = now_s
        self.pulse_s = _pulse_s(version.wanted.runtime)
        runtimes = {revision.number: revision.runtime for revision in version.revisions}
        for one in replicas:
            runtime = runtimes.get(one.key[0])
            if one.phase == "ready" and runtime is not None:
                self._look_at(one, runtime, now_s)
                if weighs and runtime.memory_gb_limit:
                    self._later(_weigh(one, runtime.memory_gb_limit))

    def _look_at(self, one: KeptReplica, runtime: RuntimeSettings, now_s: float) -> None:
        if now_s - one.looked_s >= min(_LOOK_EVERY_S, runtime.probe_period_s):
            self._later(one.look(runtime.probe_timeout_s))
        patience_s = runtime.probe_period_s * runtime.probe_failure_threshold
        if one.silent_since_s and now_s - one.silent_since_s > patience_s:
            one.kill(f"it did not answer for {patience_s:g} s")


def _pulse_s(runtime: RuntimeSettings) -> float:
    pulse_s = min(_LOOK_EVERY_S, runtime.probe_period_s)
    return min(pulse_s, _WEIGH_EVERY_S) if runtime.memory_gb_limit else pulse_s


async def _weigh(one: KeptReplica, limit_gb: float) -> None:
    held = await asyncio.to_thread(processes.exceeds, one.pid, int(limit_gb * 1e9))
    if held:
        one.kill(
            f"it held {held / 1e9:.2f} GB of memory, more than its limit of {limit_gb:g} GB "
            "(memory_gb_limit)"
        )
