"""Every way in which the service says no: status, sentence and headers in one place.

A refusal's sentence goes to the caller as it is, so it never holds a path, a key or a trace.
"""

from __future__ import annotations

from calotype.serving.exchange import Headers


class Refusal(Exception):
    """An answer that is not a success.

    Args:
        status: HTTP status, 400 or above.
        message: one or two sentences for the caller: what was expected, what came, what to do.
        headers: further headers of the answer, names in lower case.
    """

    def __init__(self, status: int, message: str, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers: Headers = headers or []


def bad_request(message: str) -> Refusal:
    """400: the request cannot be understood."""
    return Refusal(400, message)


def not_found() -> Refusal:
    """404: no such path."""
    return Refusal(
        404,
        "The requested URL was not found on the server. If you entered the URL manually please "
        "check your spelling and try again.",
    )


def method_not_allowed(allowed: str) -> Refusal:
    """405, with the methods that are allowed, such as `OPTIONS, POST`."""
    message = "The method is not allowed for the requested URL."
    return Refusal(405, message, [(b"allow", allowed.encode("ascii"))])


def too_slow(what: str, limit_s: float) -> Refusal:
    """408: the caller did not send `what` in time."""
    return Refusal(408, f"{what} did not arrive within {limit_s:g} s.", [(b"connection", b"close")])


def body_too_large(limit_bytes: int) -> Refusal:
    """413: more bytes in the body than the service takes."""
    return Refusal(
        413,
        f"The body is larger than this service takes: at most {limit_bytes:,} bytes "
        "(max_body_bytes).",
        [(b"connection", b"close")],
    )


def unsupported_media_type(expected: str, got: str) -> Refusal:
    """415: a content type or content encoding that this service does not take."""
    return Refusal(415, f"Expected {expected}. Got {got or 'none'}.")


def unprocessable(message: str) -> Refusal:
    """422: understood, and still impossible, such as an image that cannot be decoded."""
    return Refusal(422, message)


def header_too_long(name: str) -> Refusal:
    """431: an id of more than 100 characters."""
    return Refusal(431, f"{name} must not exceed 100 characters")


def gone() -> Refusal:
    """499: the caller has gone; for the log, since nobody gets it."""
    return Refusal(499, "The caller has gone.")


def internal_error() -> Refusal:
    """500: a defect of ours; the log has the trace under the request id."""
    return Refusal(500, "An unexpected internal error occurred. Check the logs for more info.")


def worker_died() -> Refusal:
    """502: the process that held the request ended before it answered."""
    return Refusal(502, "The worker that held this request ended before it answered. Try again.")


def overloaded(why: str, *, retry_after_s: int = 1) -> Refusal:
    """503: no capacity now; `why` names the limit."""
    return Refusal(503, f"{why} Try again.", [(b"retry-after", b"%d" % retry_after_s)])


def line_full(most: int) -> Refusal:
    """503: as many requests are waiting as may."""
    return overloaded(
        f"All workers are busy and {most} requests are waiting already (max_queued_requests)."
    )


def waited_too_long(wait_ms: int) -> Refusal:
    """503: nobody became free for the request in time."""
    return overloaded(f"No worker became free within {wait_ms} ms (max_request_wait_ms).")


def timed_out(timeout_ms: int) -> Refusal:
    """504: scoring took longer than it may."""
    return Refusal(504, f"Scoring timeout after {timeout_ms} ms (scoring_timeout_ms).")
