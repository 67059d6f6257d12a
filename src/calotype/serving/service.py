"""What every kind of service can do; the app knows no more than this."""

from __future__ import annotations

from typing import Literal, Protocol

from calotype.serving.exchange import Answer, Request
from calotype.serving.openapi.contract import ServiceContract

State = Literal["starting", "ready", "recovering", "failed", "stopped"]


class Service(Protocol):
    """Scores requests. Made once, started once; `score` is called from one event loop."""

    @property
    def state(self) -> State:
        """`ready` once `score` may be called.

        `recovering` when it may be called although nobody is there to score: another worker is on
        its way, and requests wait for it as they do for one that is busy.
        """
        ...

    @property
    def contract(self) -> ServiceContract:
        """What goes in and comes out; known when the service is ready."""
        ...

    @property
    def methods(self) -> frozenset[str]:
        """The HTTP methods of `/score` beside OPTIONS, which the app answers itself."""
        ...

    async def start(self) -> None:
        """Load what is needed and come back when ready.

        Raises:
            CalotypeError: it cannot be started; the message is for whoever starts the service.
        """
        ...

    async def score(self, request: Request) -> Answer:
        """Return the answer to one request.

        Raises:
            Refusal: for the caller.
            CalotypeError: about what the caller sent; its `where` names a part of the request.
        """
        ...

    async def stop(self) -> None:
        """Let go of everything; nothing is being scored any more."""
        ...
