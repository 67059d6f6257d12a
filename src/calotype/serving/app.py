"""The ASGI app in front of every kind of service: routes, ids, credentials, limits and errors."""

from __future__ import annotations

import json
import random
import re
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import calotype
from calotype import errors
from calotype.serving import refusals
from calotype.serving.auth.authenticator import Authenticator
from calotype.serving.cors import Cors
from calotype.serving.exchange import JSON, TEXT, Answer, Headers, Request
from calotype.serving.journal import Journal
from calotype.serving.metrics import Meter
from calotype.serving.openapi.documents import Documents
from calotype.serving.query import query_pairs
from calotype.serving.refusals import Refusal
from calotype.serving.service import Service
from calotype.serving.settings import ServiceSettings

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Body = bytes | Receive
"""Of a request: whole, or what gives it in parts."""
Handler = Callable[[Request, Body], Awaitable[Answer]]
Route = tuple[str, Handler, str]
"""What comes before the path's own part, what answers, and what it is counted as."""

_VERSION: Final = (b"x-ms-server-version", b"calotype/" + calotype.__version__.encode())
_NOBODY_WAITS: Final = Answer(499)  # the caller has gone
_MOST_ID: Final = 100  # characters
_CLIENT_IDS: Final = (b"x-ms-request-id", b"x-ms-client-request-id")
_WITHOUT_BODY: Final = (204, 304)
_SCORE: Final = "score"
_HEALTHY: Final = b"Healthy"
_SCORING: Final = ("ready", "recovering")
_SAID_BY_PROXIES: Final = frozenset(
    {b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"}
)
_LOOPBACK: Final = re.compile(r"127\.|::1$|::ffff:127\.")


class Capture(Protocol):
    """Keeps requests and answers for people to look at later."""

    def keep(self, request: Request, answer: Answer) -> None:
        """Keep one exchange; never waits."""
        ...


class ScoringApp:
    """One service behind HTTP.

    Args:
        service: what scores; may still be starting.
        settings: limits, prefix and origins.
        authenticator: who may score.
        documents: makes the descriptions, called when the service is ready.
        meter: counts.
        journal: gets a line for each request.
        capture: keeps requests and answers, if any are to be kept.
        public_keys: the content of `/.well-known/jwks.json`, if tokens are used.
    """

    def __init__(
        self,
        service: Service,
        settings: ServiceSettings,
        *,
        authenticator: Authenticator,
        documents: Callable[[], Documents],
        meter: Meter,
        journal: Journal,
        capture: Capture | None = None,
        public_keys: bytes | None = None,
    ) -> None:
        self.service = service
        self.settings = settings
        self._authenticator = authenticator
        self._documents_of = documents
        self._documents: Documents | None = None
        self._meter = meter
        self._journal = journal
        self._capture = capture
        self._public_keys = public_keys
        self._cors = Cors(settings.cors_origins)
        self._body_bytes = 0  # of all requests that are being answered
        self._routes = self._make_routes(settings.path_prefix)
        self._no_route: Route = ("", self._unknown, "other")

    def forget_documents(self) -> None:
        """Make the documents anew when they are asked for next: the service has changed."""
        self._documents = None

    def admit(
        self, authenticator: Authenticator, public_keys: bytes | None, origins: Sequence[str]
    ) -> None:
        """Let others in from now on."""
        self._authenticator = authenticator
        self._public_keys = public_keys
        self._cors = Cors(origins)
        self._routes = self._make_routes(self.settings.path_prefix)
        self.forget_documents()

    def _make_routes(self, prefix: str) -> dict[str, Route]:
        """Return handler and counter of every path, with what comes before its own part."""
        handlers: dict[str, tuple[Handler, str]] = {
            "/": (self._health, "health"),
            "/score": (self._score, _SCORE),
            "/score/": (self._score, _SCORE),  # a redirect would lose the body of a POST
            "/swagger.json": (self._swagger, "swagger"),
            "/metrics": (self._metrics, "metrics"),
        }
        if self._public_keys is not None:
            handlers["/.well-known/jwks.json"] = (self._jwks, "other")
        routes = {
            base + path: (base, *handler)
            for path, handler in handlers.items()
            for base in {"", prefix}
        }
        if prefix:
            routes[prefix] = (prefix, self._health, "health")
        return routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the interface that ASGI servers call."""
        client = scope["client"]
        request = Request(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"],
            headers=scope["headers"],
            scheme=scope["scheme"],
            client=client[0] if client else "",
            received_s=time.monotonic(),
            connection=scope.get("extensions", {}).get("calotype.connection"),
        )
        replied = await self.answer(request, receive)
        if replied is not None:
            answer, headers = replied
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body})

    async def answer(self, request: Request, body: Body) -> tuple[Answer, Headers] | None:
        """Answer one request, without the forms of ASGI.

        Args:
            request: as it came: its path is the whole one, and it has neither id nor body yet.
            body: of it; not looked at before the caller's credentials were.

        Returns:
            The answer, and all its headers; None when the caller has gone.
        """
        path = request.path
        request.base, handler, counted_as = self._routes.get(path, self._no_route)
        request.path = path[len(request.base) :]
        by_name = dict(request.headers)
        request.request_id = _id_of(by_name.get(b"x-request-id"))
        self._meter.begin()
        answer = _NOBODY_WAITS
        try:
            answer = await self._answer(handler, request, by_name, body)
        except _Gone:
            pass
        finally:
            self._body_bytes -= len(request.body)
            # Before it is sent: who has an answer finds it in the counters.
            elapsed_ms = (time.monotonic() - request.received_s) * 1000
            self._note(counted_as, request, answer, elapsed_ms)
        if answer is _NOBODY_WAITS:
            return None
        return answer, self._headers_of(answer, request, by_name)

    async def _answer(
        self, handler: Handler, request: Request, headers: dict[bytes, bytes], body: Body
    ) -> Answer:
        """Return the answer to anything, errors included."""
        try:
            _check_ids(headers)
            if request.method == "OPTIONS":
                return await self._options(handler, request, headers, body)
            if handler == self._score:
                self._authenticator.check(headers.get(b"authorization"), request.client)
            return await handler(request, body)
        except Refusal as refusal:
            return _refused(refusal.status, refusal.message, request, refusal.headers)
        except errors.CallerError as error:
            return _refused(error.http_status, str(error), request)
        except _Gone:
            raise
        except Exception:  # noqa: BLE001 - the boundary: a defect, told in the log only
            self._journal.write(
                "defect",
                level="error",
                request_id=request.request_id,
                trace=traceback.format_exc(),
            )
            refusal = refusals.internal_error()
            return _refused(refusal.status, refusal.message, request)

    def _headers_of(self, answer: Answer, request: Request, by_name: dict[bytes, bytes]) -> Headers:
        own_id = request.request_id.encode("latin-1")
        client_id = by_name.get(b"x-ms-client-request-id")
        headers = [
            _VERSION,
            (b"x-request-id", own_id),
            (b"x-ms-request-id", by_name.get(b"x-ms-request-id") or client_id or own_id),
            *answer.headers,
        ]
        if answer.status not in _WITHOUT_BODY:
            headers.append((b"content-length", b"%d" % len(answer.body)))
        if answer.content_type:
            headers.append((b"content-type", answer.content_type))
        if client_id is not None or b"x-ms-request-id" in by_name:
            known = client_id if client_id is not None else by_name[b"x-ms-request-id"]
            headers.append((b"x-ms-client-request-id", known))
        if b"traceid" in by_name:
            headers.append((b"traceid", by_name[b"traceid"]))
        if self._cors.is_on and request.method != "OPTIONS":
            headers += self._cors.headers(by_name.get(b"origin"))
        return headers

    def _note(self, counted_as: str, request: Request, answer: Answer, total_ms: float) -> None:
        if counted_as == _SCORE:
            self._meter.end(answer.status, total_ms, request.timings)
        else:
            self._meter.end_other(counted_as)
        if self._journal.with_requests:
            self._journal.request(request, answer, total_ms)
        if self._capture is not None and counted_as == _SCORE:
            self._capture.keep(request, answer)

    async def _score(self, request: Request, body: Body) -> Answer:
        if self.service.state not in _SCORING:
            raise refusals.overloaded("The service is not ready.")
        if request.method not in self.service.methods:
            raise refusals.method_not_allowed(self._allowed)
        if isinstance(body, bytes):
            self._take(request, body)
        else:
            await self._read(request, body)
        request.timings["read"] = (time.monotonic() - request.received_s) * 1000
        return await self.service.score(request)

    def _take(self, request: Request, body: bytes) -> None:
        """Put a body that is whole into `request`, unless it is longer than it may be."""
        if request.is_abandoned:
            raise _Gone
        size = len(body)
        self._check_size(size, self._body_bytes + size)
        self._body_bytes += size
        request.body = body

    async def _read(self, request: Request, receive: Receive) -> None:
        """Take the whole body into `request`, unless it is longer than it may be."""
        parts: list[bytes] = []
        size, more = 0, True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Gone
                part, more = message["body"], message["more_body"]
                size += len(part)
                self._body_bytes += len(part)
                self._check_size(size, self._body_bytes)
                parts.append(part)
        except BaseException:
            self._body_bytes -= size
            raise
        request.body = parts[0] if len(parts) == 1 else b"".join(parts)

    def _check_size(self, size: int, total: int) -> None:
        if size > self.settings.max_body_bytes:
            raise refusals.body_too_large(self.settings.max_body_bytes)
        if total > self.settings.max_total_body_bytes:
            raise refusals.overloaded(
                f"The bodies of all requests exceed {self.settings.max_total_body_bytes:,} bytes "
                "(max_total_body_bytes)."
            )

    @property
    def _allowed(self) -> str:
        return ", ".join(sorted({*self.service.methods, "OPTIONS"}))

    async def _options(
        self, handler: Handler, request: Request, headers: dict[bytes, bytes], body: Body
    ) -> Answer:
        """Answer a preflight: never asks for credentials, so that it never reaches a model either.

        A script that takes raw requests answers its own, as it always did, when we have no list of
        origins; behind keys or tokens only for callers who show one.
        """
        if handler == self._unknown:
            return await self._unknown(request, body)
        if handler == self._score and "OPTIONS" in self.service.methods and not self._cors.is_on:
            try:
                self._authenticator.check(headers.get(b"authorization"), request.client)
            except Refusal:
                return Answer(200, b"", TEXT, [(b"allow", self._allowed.encode())])
            return await self._score(request, body)
        methods = self._allowed if handler == self._score else "GET, HEAD, OPTIONS"
        preflight = self._cors.preflight_headers(
            headers.get(b"origin"),
            headers.get(b"access-control-request-headers"),
            methods.replace(", OPTIONS", "").replace("OPTIONS, ", ""),
        )
        return Answer(200, b"", TEXT, [(b"allow", methods.encode()), *preflight])

    async def _health(self, request: Request, body: Body) -> Answer:
        _check_is_read(request)
        if self.service.state != "ready":
            raise refusals.overloaded("The service is not ready.")
        return Answer(200, _HEALTHY, TEXT)

    async def _swagger(self, request: Request, body: Body) -> Answer:
        _check_is_read(request)
        if self.service.state != "ready":
            raise refusals.overloaded("The service is not ready.")
        if self._documents is None:
            self._documents = self._documents_of()
        version = dict(query_pairs(request.query)).get("version")  # the last of several
        # Whoever could say so falsely would only mislead themselves, as with their own Host.
        forwarded = request.header(b"x-forwarded-proto")
        scheme = forwarded.decode() if forwarded in (b"http", b"https") else request.scheme
        base = self._documents.base_of(scheme, request.header(b"host"), request.base)
        return Answer(200, self._documents.document(version, base), JSON)

    async def _metrics(self, request: Request, body: Body) -> Answer:
        _check_is_read(request)
        if not is_from_here(request):
            raise refusals.not_found()
        body = self._meter.prometheus_text(self.settings.name)
        return Answer(200, body, b"text/plain; version=0.0.4; charset=utf-8")

    async def _jwks(self, request: Request, body: Body) -> Answer:
        _check_is_read(request)
        return Answer(200, self._public_keys or b"", JSON)

    async def _unknown(self, request: Request, body: Body) -> Answer:
        raise refusals.not_found()


class _Gone(Exception):
    """The caller left before the request was whole."""


def is_from_here(request: Request) -> bool:
    """Whether a request comes from this machine, and not through a proxy on it."""
    is_passed_on = any(name in _SAID_BY_PROXIES for name, _ in request.headers)
    return not is_passed_on and _LOOPBACK.match(request.client) is not None


def _check_is_read(request: Request) -> None:
    if request.method not in ("GET", "HEAD"):
        raise refusals.method_not_allowed("GET, HEAD, OPTIONS")


def _id_of(given: bytes | None) -> str:
    return given.decode("latin-1") if given and len(given) <= _MOST_ID else new_id()


def _check_ids(headers: dict[bytes, bytes]) -> None:
    """Refuse ids that are too long, and take them out so that no answer echoes them."""
    if len(headers.get(b"x-request-id", b"")) > _MOST_ID:
        raise refusals.header_too_long("x-request-id")
    for name in _CLIENT_IDS:
        if len(headers.get(name, b"")) > _MOST_ID:
            for other in _CLIENT_IDS:
                headers.pop(other, None)
            raise refusals.header_too_long("x-ms-request-id and x-ms-client-request-id")


def _refused(status: int, message: str, request: Request, headers: Headers | None = None) -> Answer:
    document = {"status_code": status, "message": message, "request_id": request.request_id}
    return Answer(status, json.dumps(document).encode(), JSON, headers or [])


def new_id() -> str:
    """Return a request id in the form of a random UUID, in half a microsecond."""
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"
