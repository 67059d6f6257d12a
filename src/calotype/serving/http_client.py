"""A small HTTP client of the standard library: time limits, verified TLS, no redirects."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from calotype import errors


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        status: HTTP status.
        headers: names in lower case.
        body: whole.
        elapsed_ms: from the first to the last byte, with connecting.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class HttpClient:
    """Makes requests, each on a connection of its own.

    Attributes:
        timeout_s: how long connecting, and each wait for a part of the reply, may take.
        ca_file: certificates to trust beside those of the machine: those of one's own authority, or
            of the service itself.
        max_reply_bytes: a longer reply is an error.
        connect_to: connect to this host, whatever the URI names; the reply is held to the URI's
            name all the same.
    """

    timeout_s: float = 30.0
    ca_file: Path | None = None
    max_reply_bytes: int = field(default=64 << 20)
    connect_to: str | None = None

    def request(
        self, method: str, uri: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Reply:
        """Send a request and read the reply whole.

        Raises:
            OperationFailed: there was no reply: no connection, no trust, no answer in time.
        """
        started = time.perf_counter()
        parts = urlsplit(uri)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection = self._connection(parts.scheme, parts.hostname or "", parts.port)
            try:
                connection.request(method, path, body, dict(headers))
                response = connection.getresponse()
                content = response.read(self.max_reply_bytes + 1)
                named = {name.lower(): value for name, value in response.getheaders()}
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _no_reply(uri, error) from None
        if len(content) > self.max_reply_bytes:
            raise errors.OperationFailed(
                f"expected at most {self.max_reply_bytes:,} bytes", where=uri, got="more"
            )
        return Reply(response.status, named, content, (time.perf_counter() - started) * 1000)

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        place = self.connect_to or host
        if scheme != "https":
            return http.client.HTTPConnection(place, port, timeout=self.timeout_s)
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca_file is not None:
            context.load_verify_locations(self.ca_file)
            # As Python does from 3.13 on: a service's own certificate may stand for its authority.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return _VerifiedConnection(place, host, port, self.timeout_s, context)


class _VerifiedConnection(http.client.HTTPSConnection):
    """Speaks to a host which proves that it is `name`."""

    def __init__(
        self, place: str, name: str, port: int | None, timeout_s: float, context: ssl.SSLContext
    ) -> None:
        super().__init__(name, port, timeout=timeout_s, context=context)
        self._place = (place, self.port)
        self._trust = context

    def connect(self) -> None:
        """Connect, and check the certificate."""
        plain = socket.create_connection(self._place, self.timeout)
        try:
            self.sock = self._trust.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def _no_reply(uri: str, error: Exception) -> errors.OperationFailed:
    action = "Is the service running, and is the address right?"
    if isinstance(error, ssl.SSLCertVerificationError):
        action = "Trust its authority with a CA file, or get a certificate for this name."
    elif isinstance(error, TimeoutError):
        action = "Is it reachable from here? Allow it more time."
    return errors.OperationFailed("expected a reply", where=uri, got=str(error), action=action)
