"""Keeps requests and answers of `/score` in files, for people who look for the cause of a result.

Off unless asked for. What could be a secret stays out: of headers only a short list is kept, images
become a digest and a length, and fields that the operator names are hidden at any depth. The event
loop only puts references into a bounded queue; a thread does the rest.
"""

from __future__ import annotations

import binascii
import hashlib
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlencode

import orjson

from calotype.serving.exchange import Answer, Headers, Request
from calotype.serving.exchange_queue import Exchange, ExchangeQueue
from calotype.serving.journal import Journal
from calotype.serving.private_files import append, check_writable
from calotype.serving.query import query_pairs

HIDDEN: Final = "hidden"
TEXT_BYTES: Final = 64 << 10  # of each body that is kept as text
PARSED_BYTES: Final = 2 << 20  # parsing holds up the event loop: what is longer gets a digest
# A list of what may be kept: nobody can know all names of headers that carry credentials.
_KEPT_HEADERS: Final = frozenset(
    {
        b"accept",
        b"allow",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"origin",
        b"retry-after",
        b"traceid",
        b"traceparent",
        b"user-agent",
        b"x-ms-client-request-id",
        b"x-ms-request-id",
        b"x-ms-run-fn-exec-ms",
        b"x-ms-run-function-failed",
    }
)
BINARY_KINDS: Final = (b"image/", b"audio/", b"video/", b"multipart/", b"application/octet-stream")
IMAGE_STARTS: Final = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
_BASE64_START: Final = 16  # characters, that are 12 bytes
_LONG_BASE64: Final = 1024  # characters; nobody reads those, whatever they are


class FileCapture:
    """Writes exchanges as JSON lines to `FOLDER/YYYY-MM-DD-PID.jsonl`, readable by the owner only.

    Args:
        folder: where the files go; made when it is not there.
        hidden_fields: names whose values are replaced by "hidden" in JSON bodies and queries,
            whatever their case. With any, bodies that are not JSON are kept as digests only.
        journal: is told when the files cannot be written.

    Raises:
        CannotWrite: nothing can be written to `folder`.
    """

    def __init__(self, folder: Path, *, hidden_fields: Iterable[str], journal: Journal) -> None:
        self._folder = folder
        self._redaction = Redaction(hidden_fields)
        check_writable(folder)
        self._queue = ExchangeQueue("capture", self._write, journal)

    @property
    def dropped(self) -> int:
        """How many exchanges could not be kept."""
        return self._queue.dropped

    def keep(self, request: Request, answer: Answer) -> None:
        """Keep one exchange; never waits, and drops it when too much is waiting."""
        self._queue.put(request, answer)

    def close(self) -> None:
        """Write what is waiting and stop."""
        self._queue.close()

    def _write(self, exchanges: Sequence[Exchange]) -> None:
        for time_s, request, answer in exchanges:
            try:
                append(self._path(time_s), self._line(time_s, request, answer))
            except Exception as error:  # noqa: BLE001 - one must not cost the others
                self._queue.note_failure(error)

    def _path(self, time_s: float) -> Path:
        day = datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d")
        return self._folder / f"{day}-{os.getpid()}.jsonl"

    def _line(self, time_s: float, request: Request, answer: Answer) -> bytes:
        redaction = self._redaction
        document = {
            "time": datetime.fromtimestamp(time_s, UTC),
            "request_id": request.request_id,
            "client": request.client,
            "method": request.method,
            "path": request.base + request.path,
            "query": redaction.query(request.query),
            "headers": _kept(request.headers),
            "body": redaction.body(request.body, request.header(b"content-type") or b""),
            "status": answer.status,
            "answer_headers": _kept(answer.headers),
            "answer_content_type": answer.content_type.decode("latin-1"),
            "answer_body": redaction.body(answer.body, answer.content_type),
            "timings_ms": request.timings,
        }
        return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)


class Redaction:
    """What of bodies and queries may be kept.

    Args:
        fields: names whose values are hidden, whatever their case.
    """

    def __init__(self, fields: Iterable[str]) -> None:
        self._fields = frozenset(field.casefold() for field in fields)

    def query(self, query: bytes) -> str:
        """Return a query string without the values of hidden fields."""
        if not self._fields:
            return query.decode("latin-1")
        return urlencode(
            [
                (name, HIDDEN if self._hides(name) else self._text(value))
                for name, value in query_pairs(query)
            ]
        )

    def body(self, body: bytes, content_type: bytes) -> str | dict[str, Any]:
        """Return a body as text, or what can be said of it without showing it."""
        if not body:
            return ""
        is_binary = content_type.strip().lower().startswith(BINARY_KINDS)
        if is_binary or body.startswith(IMAGE_STARTS) or len(body) > PARSED_BYTES:
            return _digest(body)
        try:
            value = self._clean(orjson.loads(body))
            return _cut(orjson.dumps(value))
        except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
            pass
        if self._fields or b"\0" in body:
            return _digest(body)  # a hidden field may be in it, in a form that nobody here knows
        try:
            return _cut(body, body.decode("utf-8"))
        except UnicodeDecodeError:
            return _digest(body)

    def _hides(self, name: str) -> bool:
        return name.casefold() in self._fields

    def _clean(self, value: object) -> object:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self._clean(item) for item in cast(list[object], value)]
        if isinstance(value, dict):
            return {
                name: HIDDEN if self._hides(name) else self._clean(item)
                for name, item in cast(dict[str, object], value).items()
            }
        return value

    def _text(self, text: str) -> Any:
        """Return a string without an image in it, or hidden fields in JSON within JSON."""
        image = image_in(text)
        if image is not None:
            return _digest(image)
        if self._fields and text.lstrip()[:1] in ("{", "["):
            try:
                return orjson.dumps(self._clean(orjson.loads(text))).decode()
            except orjson.JSONDecodeError:
                pass
        return text


def image_in(text: str) -> bytes | None:
    """Return the bytes of a data URI, of an image in base64, and of anything long in base64."""
    is_uri = text.startswith("data:")
    encoded = text.partition(",")[2] if is_uri else text
    if len(encoded) < _BASE64_START and not is_uri:
        return None
    start = _decoded(encoded[:_BASE64_START])
    if is_uri or (start or b"").startswith(IMAGE_STARTS):
        return _decoded(encoded) or text.encode("utf-8", "surrogatepass")
    return _decoded(encoded) if len(encoded) >= _LONG_BASE64 and start is not None else None


def _decoded(text: str) -> bytes | None:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        return None


def _digest(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "length": len(content)}


def _cut(content: bytes, text: str | None = None) -> str | dict[str, Any]:
    """Return text up to the limit; what is longer also says what it was."""
    if len(content) <= TEXT_BYTES:
        return content.decode() if text is None else text
    return {"text": content[:TEXT_BYTES].decode("utf-8", "ignore"), **_digest(content)}


def _kept(headers: Headers) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in headers
        if name in _KEPT_HEADERS
    }
