"""One request and its answer, as every kind of service sees them: HTTP without a server."""

from __future__ import annotations

from dataclasses import dataclass, field

Headers = list[tuple[bytes, bytes]]

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
NOT_READ: Headers = []


# Not frozen: setting the fields of a frozen dataclass takes a microsecond longer, on every request.
@dataclass(slots=True)
class Request:
    """A request whose body has arrived whole and within the limits.

    Attributes:
        method: in capitals.
        base: the prefix under which the caller found the service; empty for none.
        path: below that prefix, percent-decoded.
        query: the undecoded query string, without `?`.
        headers: in the order of arrival, names in lower case, not decoded (Latin-1 where text).
        body: as it was sent; never compressed.
        request_id: the caller's, or one made by us; at most 100 characters.
        client: the address it came from, without port.
        scheme: `http` or `https`.
        received_s: when its headers were complete, on `time.monotonic`.
        timings: how many milliseconds each stage took, by name: read, decode, queue, infer, encode.
    """

    method: str = "POST"
    path: str = "/score"
    query: bytes = b""
    headers: Headers = field(default_factory=lambda: NOT_READ)
    body: bytes = b""
    request_id: str = ""
    client: str = ""
    scheme: str = "http"
    received_s: float = 0.0
    timings: dict[str, float] = field(default_factory=dict[str, float])
    base: str = ""
    connection: object = None
    """Has `disconnected`, true once the caller has gone; None when the server cannot tell."""

    def header(self, name: bytes) -> bytes | None:
        """Return the value of a header, or None; the last one when it was sent twice."""
        found = None
        for key, value in self.headers:
            if key == name:
                found = value
        return found

    @property
    def is_abandoned(self) -> bool:
        """Whether the caller has gone, so that nobody waits for the answer."""
        return getattr(self.connection, "disconnected", False)


@dataclass(slots=True)
class Answer:
    """What goes back: everything but the headers that the app adds to all answers.

    Attributes:
        status: HTTP status.
        body: the content, whole.
        content_type: of the body; empty for none.
        headers: further ones, names in lower case.
    """

    status: int = 200
    body: bytes = b""
    content_type: bytes = JSON
    headers: Headers = field(default_factory=lambda: [])
