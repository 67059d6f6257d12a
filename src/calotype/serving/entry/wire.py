"""What the HTTP process and a worker say to each other, over a socket pair.

A frame is a header of fixed size and two parts. A request's first part is `marshal` of a tuple: it
comes from our own process, and costs half a microsecond. An answer's is a block of header lines,
because what a worker sends was shaped by somebody's script and must be harmless to read.
"""

from __future__ import annotations

import marshal
import struct
from typing import Final

from calotype.serving.exchange import Answer, Headers, Request
from calotype.serving.refusals import Refusal

FRAME: Final = struct.Struct("<BHIIddd")
"""Kind, status, length of the first part, length of the second, and the `Stages` of scoring.

A request has its worker's row of the claims in place of the status, and its number in place of the
first stage.
"""

Stages = tuple[float, float, float]
"""Milliseconds that a worker took to decode, infer and encode."""

Frame = tuple[int, int, bytes, bytes, Stages]
"""Kind, status, both parts, stages."""

READY: Final = 0
FAILED: Final = 1
ANSWER: Final = 2
REFUSAL: Final = 3
REQUEST: Final = 4
LEFT: Final = 5  # a request that was recalled before it was begun


def frame(
    kind: int, status: int, head: bytes, body: bytes, stages: Stages = (0.0, 0.0, 0.0)
) -> bytes:
    """Return one frame as bytes."""
    return b"".join((FRAME.pack(kind, status, len(head), len(body), *stages), head, body))


def pack_request(request: Request, *, with_headers: bool, row: int, number: float) -> bytes:
    """Return the frame of a request; without all headers, only its content type goes along."""
    headers = request.headers
    if not with_headers:
        headers = [pair for pair in headers if pair[0] == b"content-type"]
    head = marshal.dumps(
        (
            request.method,
            request.path,
            request.query,
            headers,
            request.request_id,
            request.client,
            request.scheme,
        )
    )
    return frame(REQUEST, row, head, request.body, (number, 0.0, 0.0))


def unpack_request(head: bytes, body: bytes) -> Request:
    """Return the request of a frame that `pack_request` made."""
    method, path, query, headers, request_id, client, scheme = marshal.loads(head)  # noqa: S302
    return Request(method, path, query, headers, body, request_id, client, scheme)


def pack_answer(answer: Answer, stages: Stages) -> bytes:
    """Return the frame of an answer."""
    lines = [answer.content_type, *(b"%s:%s" % pair for pair in answer.headers)]
    return frame(ANSWER, answer.status, b"\n".join(lines), answer.body, stages)


def unpack_answer(status: int, head: bytes, body: bytes) -> Answer:
    """Return the answer of a frame that `pack_answer` made."""
    content_type, *lines = head.split(b"\n")
    return Answer(status, body, content_type, _headers(lines))


def pack_refusal(refusal: Refusal, stages: Stages) -> bytes:
    """Return the frame of a refusal."""
    lines = b"\n".join(b"%s:%s" % pair for pair in refusal.headers)
    return frame(REFUSAL, refusal.status, lines, refusal.message.encode("utf-8", "replace"), stages)


def unpack_refusal(status: int, head: bytes, body: bytes) -> Refusal:
    """Return the refusal of a frame that `pack_refusal` made."""
    return Refusal(status, body.decode(), _headers(head.split(b"\n") if head else []))


def _headers(lines: list[bytes]) -> Headers:
    headers: Headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name, value))
    return headers


class FrameReader:
    """Puts frames together from whatever pieces a socket gives."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are whole now: kind, status, both parts, stages."""
        held = self._data
        held += data
        found: list[Frame] = []
        while len(held) >= FRAME.size:
            kind, status, head_size, body_size, *stages = FRAME.unpack_from(held)
            middle = FRAME.size + head_size
            end = middle + body_size
            if len(held) < end:
                break
            head, body = bytes(held[FRAME.size : middle]), bytes(held[middle:end])
            found.append((kind, status, head, body, (stages[0], stages[1], stages[2])))
            del held[:end]
        return found
