"""A small HTTP client of the standard library: time limits, verified TLS, no redirects."""

from __future__ import annotations

import http.client
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
        ca_file: certificates to trust beside those of the machine, for one's own authority.
        max_reply_bytes: a longer reply is an error.
    """

    timeout_s: float = 30.0
    ca_file: Path | None = None
    max_reply_bytes: int = field(default=64 << 20)

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
        if scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=self.timeout_s)
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca_file is not None:
            context.load_verify_locations(self.ca_file)
        return http.client.HTTPSConnection(host, port, timeout=self.timeout_s, context=context)


def _no_reply(uri: str, error: Exception) -> errors.OperationFailed:
    action = "Is the service running, and is the address right?"
    if isinstance(error, ssl.SSLCertVerificationError):
        action = "Trust its authority with a CA file, or get a certificate for this name."
    elif isinstance(error, TimeoutError):
        action = "Is it reachable from here? Allow it more time."
    return errors.OperationFailed("expected a reply", where=uri, got=str(error), action=action)
