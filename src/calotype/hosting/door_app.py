"""What the front door answers itself: health, keys of tokens, metrics, tokens, and 404."""

from __future__ import annotations

import asyncio
import json
import re
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final

import calotype
from calotype.hosting import door_metrics
from calotype.hosting.door_table import DoorTable
from calotype.hosting.token_endpoint import TokenEndpoint
from calotype.serving import refusals
from calotype.serving.app import is_from_here, new_id
from calotype.serving.exchange import JSON, TEXT, Answer, Request
from calotype.serving.journal import Journal
from calotype.serving.metrics import Meter
from calotype.serving.refusals import Refusal

_VERSION: Final = (b"x-ms-server-version", b"calotype/" + calotype.__version__.encode())
_MOST_ID: Final = 100
_SERVICE: Final = re.compile(r"/api/v1/service/([^/]+)(/.*)?", re.DOTALL)
_READING: Final = ("GET", "HEAD")

Handler = Callable[[Request], Awaitable[Answer]]


class DoorApp:
    """An ASGI app for all paths that are no service's.

    Args:
        table: what is behind the door.
        tokens: issues tokens.
        meter: of the door's connections.
        journal: the log.
    """

    def __init__(
        self, table: DoorTable, tokens: TokenEndpoint, meter: Meter, journal: Journal
    ) -> None:
        self._table = table
        self._tokens = tokens
        self._meter = meter
        self._journal = journal
        self.connections: Callable[[], int] = lambda: 0
        self._handlers: dict[str, Handler] = {
            "/": self._health,
            "/.well-known/jwks.json": self._jwks,
            "/metrics": self._metrics,
        }

    async def __call__(self, scope: dict[str, Any], receive: object, send: Any) -> None:
        """Answer one request; the interface that ASGI servers call."""
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        client = scope["client"]
        request = Request(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"],
            headers=scope["headers"],
            request_id=given.decode("latin-1") if 0 < len(given) <= _MOST_ID else new_id(),
            client=client[0] if client else "",
        )
        try:
            answer = await self._answer(request)
        except Refusal as refusal:
            answer = self._refused(request, refusal)
        except Exception:  # noqa: BLE001 - the boundary: a defect, told in the log only
            self._journal.write(
                "defect",
                level="error",
                request_id=request.request_id,
                trace=traceback.format_exc(),
            )
            answer = self._refused(request, refusals.internal_error())
        headers = [
            _VERSION,
            (b"x-request-id", request.request_id.encode("latin-1")),
            (b"content-type", answer.content_type),
            (b"content-length", b"%d" % len(answer.body)),
            *answer.headers,
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, request: Request) -> Answer:
        handler = self._handlers.get(request.path)
        if handler is None:
            return await self._of_service(request)
        if request.method not in _READING:
            raise refusals.method_not_allowed("GET, HEAD")
        return await handler(request)

    def _refused(self, request: Request, refusal: Refusal) -> Answer:
        self._journal.write(
            "refused",
            level="warning",
            status=refusal.status,
            client=request.client,
            method=request.method,
            path=request.path,
            request_id=request.request_id,
        )
        document = {
            "status_code": refusal.status,
            "message": refusal.message,
            "request_id": request.request_id,
        }
        return Answer(refusal.status, json.dumps(document).encode(), JSON, refusal.headers)

    async def _of_service(self, request: Request) -> Answer:
        parts = _SERVICE.fullmatch(request.path)
        if parts is None:
            raise refusals.not_found()
        name, rest = parts.groups()
        if rest == "/token":
            credential = self._tokens.check_form(request)
            return await asyncio.to_thread(self._tokens.issue, name, credential, request)
        if name.encode() not in self._table.services:
            raise Refusal(404, "No service of that name is served here.")
        raise refusals.not_found()

    async def _health(self, request: Request) -> Answer:
        return Answer(200, b"Healthy", TEXT)

    async def _jwks(self, request: Request) -> Answer:
        return Answer(200, self._table.public_keys, JSON)

    async def _metrics(self, request: Request) -> Answer:
        if not is_from_here(request):
            raise refusals.not_found()
        text = door_metrics.prometheus_text(self._table, self._meter, self.connections)
        return Answer(200, text, door_metrics.CONTENT_TYPE)
