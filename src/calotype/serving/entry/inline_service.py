"""An entry script in the event loop that speaks HTTP: `--isolation none`.

Nothing is handed over, so nothing is cheaper for a script that takes microseconds. While it runs,
its process does nothing else; other processes, and the supervisor, go on.
"""

from __future__ import annotations

import time

from calotype.serving.entry.script import EntryScript
from calotype.serving.exchange import Answer, Request
from calotype.serving.metrics import Meter
from calotype.serving.openapi.contract import ServiceContract
from calotype.serving.service import State
from calotype.serving.settings import ServiceSettings


class InlineService:
    """Answers each request at once, in the main thread, where a script's timeouts work.

    Args:
        script: after its `init`.
        settings: how long anything may take.
        meter: is told since when a request is being scored, for the supervisor: it ends a process
            that a script holds up for good.
    """

    def __init__(self, script: EntryScript, settings: ServiceSettings, meter: Meter) -> None:
        self.state: State = "starting"
        self.contract = ServiceContract.from_dict(script.contract or {})
        self.methods = script.methods
        self._script = script
        self._meter = meter
        self._timeout_ms = settings.scoring_timeout_ms

    @property
    def ready_workers(self) -> int:
        """How many processes like this one take requests."""
        return self._meter.ready_workers

    @property
    def restarts(self) -> int:
        """How often one of them was replaced because it died."""
        return self._meter.restarts

    async def start(self) -> None:
        """Be ready: `init` has been run before."""
        self.state = "ready"

    async def stop(self) -> None:
        """Take nothing more."""
        self.state = "stopped"

    async def score(self, request: Request) -> Answer:
        """Run the script."""
        self._meter.scoring_since_s = time.monotonic()
        try:
            return self._script.answer(request, timeout_ms=self._timeout_ms)
        finally:
            self._meter.scoring_since_s = 0.0
