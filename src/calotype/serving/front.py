"""What stands before a service: who may call, TLS, the log, the counters, the HTTP server.

The same for all kinds of services and for every process that speaks HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from calotype.serving.app import ScoringApp
from calotype.serving.auth.authenticator import Authenticator, KeyAuth, NoAuth, TokenAuth
from calotype.serving.auth.guesses import Guesses
from calotype.serving.auth.keys import ServiceKeys
from calotype.serving.capture import FileCapture
from calotype.serving.cors import Cors
from calotype.serving.guard import Guard
from calotype.serving.journal import Journal
from calotype.serving.keeping import Keeper, Several
from calotype.serving.log_text import LogFormat
from calotype.serving.metrics import Meter, Reading
from calotype.serving.openapi.builders import BaseAddress
from calotype.serving.openapi.documents import Documents
from calotype.serving.openapi.own_documents import OwnDocuments
from calotype.serving.protocol import guarded_protocol
from calotype.serving.server import HttpServer
from calotype.serving.service import Service
from calotype.serving.settings import ServiceSettings
from calotype.serving.tls import TlsCertificate, TlsSettings

ISSUER: Final = "calotype"  # of the tokens of services without a workspace

_WARN_EVERY_S: Final = 24 * 3600
_SERVICE_GAUGES: Final = {
    "queue_depth": "Requests that wait for their turn.",
    "ready_workers": "Workers that take requests.",
    "busy_runners": "Threads that score images now.",
}
_SERVICE_COUNTERS: Final = {"restarts": "Workers replaced because they died."}


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """Everything about the front; `to_document` and back takes it to another process.

    Attributes:
        service: limits and the rest.
        primary_key, secondary_key: with `auth` "key".
        token_keys: public keys for tokens as JSON of a key set, with `auth` "token".
        other_token_keys: those of other services, whose tokens are refused with 403.
        certificate, certificate_key: PEM files, for TLS.
        exact_tls_1_2: neither older nor newer.
        log_format: of the log on stderr.
        with_access_log: a line for each request.
        source_directory: where a user's own swagger files may lie.
        capture: the folder that keeps requests and answers; empty for none.
        hidden_fields: names whose values it must not keep.
        collect: the folder of tables of inputs and predictions; empty for none.
        collect_image_copies: keep images there too, not only their digests.
    """

    service: ServiceSettings
    primary_key: str = field(default="", repr=False)
    secondary_key: str = field(default="", repr=False)
    token_keys: str = ""
    other_token_keys: str = ""
    certificate: str = ""
    certificate_key: str = ""
    exact_tls_1_2: bool = False
    log_format: LogFormat = "json"
    with_access_log: bool = True
    source_directory: str = ""
    capture: str = ""
    hidden_fields: Sequence[str] = ()
    collect: str = ""
    collect_image_copies: bool = False

    def to_document(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        return {**asdict(self), "service": self.service.model_dump(mode="json")}

    @classmethod
    def of_document(cls, document: dict[str, Any]) -> FrontSettings:
        """Return what `to_document` was made of."""
        service = ServiceSettings.of(document["service"])
        rest = {name: value for name, value in document.items() if name != "service"}
        return cls(service, **rest)


@runtime_checkable
class Reloadable(Protocol):
    """A service whose code may change while it runs."""

    async def reload(self) -> None:
        """Run what is there now; the old one goes on when that cannot be used."""
        ...


def authenticator_of(settings: FrontSettings) -> Authenticator:
    """Return who may call, by the settings."""
    match settings.service.auth:
        case "none":
            return NoAuth()
        case "key":
            return KeyAuth(ServiceKeys(settings.primary_key, settings.secondary_key), Guesses())
        case "token":
            from calotype.serving.auth.tokens import TokenVerifier, keys_of

            keys = keys_of(json.loads(settings.token_keys))
            others = settings.other_token_keys
            verifier = TokenVerifier(
                keys,
                audience=settings.service.name,
                issuer=ISSUER,
                other_keys=keys_of(json.loads(others)) if others else {},
            )
            return TokenAuth(verifier, Guesses())


def certificate_of(settings: FrontSettings) -> TlsCertificate | None:
    """Return the certificate, checked, if there is one.

    Raises:
        CalotypeError: it cannot be used.
    """
    if not settings.certificate:
        return None
    return TlsCertificate(
        TlsSettings(
            Path(settings.certificate), Path(settings.certificate_key), settings.exact_tls_1_2
        )
    )


def capture_of(settings: FrontSettings, journal: Journal) -> Several | None:
    """Return what keeps requests and answers, if they are to be kept.

    Raises:
        CannotWrite: a folder cannot be used.
    """
    kept: list[Keeper] = []
    hidden = settings.hidden_fields
    if settings.capture:
        kept.append(FileCapture(Path(settings.capture), hidden_fields=hidden, journal=journal))
    if settings.collect:
        from calotype.serving.collection import Collection

        with_copies = settings.collect_image_copies
        folder = Path(settings.collect)
        kept.append(
            Collection(folder, with_image_copies=with_copies, hidden_fields=hidden, journal=journal)
        )
    return Several(kept) if kept else None


def _public_keys(settings: FrontSettings) -> bytes | None:
    return settings.token_keys.encode() if settings.service.auth == "token" else None


class Front:
    """Serves one service over HTTP from the running event loop.

    `start` does all at once. Whoever takes over from another process starts the service first and
    accepts when it is ready: `start_service`, `accept`; the other one is told to `retire`.

    Args:
        settings: everything about the front.
        service: what scores; started here.
        listener: accepts connections; None when `accept` brings it, or nobody does.
        meter: counts.
        journal: the log.
    """

    def __init__(
        self,
        settings: FrontSettings,
        service: Service,
        listener: socket.socket | None,
        *,
        meter: Meter,
        journal: Journal,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._tls = certificate_of(settings)
        self._watcher: asyncio.Task[None] | None = None
        self._told_trace = ""
        self.service = service
        limits = settings.service
        self._guard = Guard(limits, meter)
        self._capture = capture_of(settings, journal)
        self.app = ScoringApp(
            service,
            limits,
            authenticator=authenticator_of(settings),
            documents=self._documents,
            meter=meter,
            journal=journal,
            capture=self._capture,
            public_keys=_public_keys(settings),
        )
        self._server = HttpServer(
            self.app,
            listener,
            limits,
            protocol=guarded_protocol(self._guard),
            tls=self._tls.context if self._tls else None,
        )
        meter.gauges += self._gauges()
        meter.counters += self._counters()

    async def start(self) -> None:
        """Accept connections, then start the service; `GET /` tells when it is ready.

        Raises:
            CalotypeError: the service cannot be started.
        """
        await self.accept()
        await self.start_service()

    async def start_service(self) -> None:
        """Start the service alone.

        Raises:
            CalotypeError: it cannot be started.
        """
        await self.service.start()

    async def accept(self, listener: socket.socket | None = None) -> None:
        """Accept connections from now on, of `listener` when it is given."""
        await self._server.start(listener)
        self._watcher = asyncio.get_running_loop().create_task(self._watch_certificate())

    async def retire(self, *, grace_s: float) -> None:
        """Accept nothing more; every connection ends with its next answer, or after `grace_s`.

        `stop` follows.
        """
        await self._server.retire(grace_s)

    def stop_listening(self) -> None:
        """Leave new connections to others; `stop` follows."""
        self._server.stop_listening()

    async def stop(self) -> None:
        """Answer what was accepted, then end."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):  # callers wait for answers
                await self._watcher
        await self._server.drain()
        await self.service.stop()
        if self._capture is not None:
            await asyncio.to_thread(self._capture.close)

    async def reload(self) -> None:
        """Run the service's script as it is now; the old one goes on when it cannot be used.

        Raises:
            ScriptFailed: with the trace.
        """
        assert isinstance(self.service, Reloadable)
        await self.service.reload()
        self.app.forget_documents()

    def change_access(self, settings: FrontSettings) -> None:
        """Take credentials and origins of `settings`; everything else stays as it is.

        Raises:
            CalotypeError: they cannot be used.
        """
        said = settings.service
        limits = self._settings.service.model_copy(
            update={"auth": said.auth, "cors_origins": said.cors_origins}
        )
        self._guard.cors = Cors(said.cors_origins)
        self.app.admit(authenticator_of(settings), _public_keys(settings), said.cors_origins)
        self._settings = replace(
            self._settings,
            service=limits,
            primary_key=settings.primary_key,
            secondary_key=settings.secondary_key,
            token_keys=settings.token_keys,
            other_token_keys=settings.other_token_keys,
        )

    def _documents(self) -> Documents:
        limits = self._settings.service
        scheme = "https" if self._tls else "http"
        folder = self._settings.source_directory
        return Documents(
            self.service.contract,
            name=limits.name,
            base=BaseAddress(scheme, f"{limits.host}:{limits.port}", limits.path_prefix),
            auth=limits.auth,
            own=OwnDocuments.load(Path(folder)) if folder else None,
        )

    async def _watch_certificate(self) -> None:
        """Take a renewed certificate within a second, and warn once a day before it ends."""
        while self._tls is not None:
            if warning := self._tls.warning:
                self._journal.write(warning, level="warning")
            for _ in range(_WARN_EVERY_S):
                await asyncio.sleep(1.0)
                self._take_new_certificate(self._tls)

    def _take_new_certificate(self, tls: TlsCertificate) -> None:
        try:
            if tls.reload_if_changed():
                self._journal.write("certificate reloaded", expires=tls.expires_at)
        except Exception:  # noqa: BLE001 - whatever is wrong with files, the next may be right
            trace = traceback.format_exc()
            if trace != self._told_trace:  # once a second would fill the log
                self._journal.write("certificate not reloaded", level="error", trace=trace)
            self._told_trace = trace

    def _counters(self) -> list[Reading]:
        counters = self._of_service(_SERVICE_COUNTERS)
        if (capture := self._capture) is not None:
            text = "Exchanges that could not be kept."
            counters.append(("capture_dropped", text, lambda: capture.dropped))
        return counters

    def _of_service(self, texts: dict[str, str]) -> list[Reading]:
        service = self.service
        return [
            (name, text, lambda name=name: getattr(service, name))
            for name, text in texts.items()
            if hasattr(service, name)
        ]

    def _gauges(self) -> list[Reading]:
        server = self._server
        gauges: list[Reading] = [("connections", "Open ones.", lambda: server.connections)]
        gauges += self._of_service(_SERVICE_GAUGES)
        if (tls := self._tls) is not None:
            text = "Seconds until the certificate expires."
            gauges.append(("certificate_seconds_left", text, lambda: tls.seconds_left))
        return gauges
