"""From a request to the images in it: one strategy for each content type, ready before the first.

A content type that is missing, or says nothing, is replaced by what the body begins with: that is
how `curl --data-binary @cat.jpg` and many a script send an image.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Final

from calotype.serving import refusals
from calotype.serving.exchange import Request
from calotype.serving.images import unsupported
from calotype.serving.images.answers import SINGLE
from calotype.serving.images.forms import read_form
from calotype.serving.images.json_bodies import read_json
from calotype.serving.images.work import Failure, Item, Reading
from calotype.serving.json_body import is_json
from calotype.serving.settings import ServiceSettings

Read = Callable[[], Reading]

_TAKEN: Final = (
    "an image (application/octet-stream or image/*), application/json or a form of files"
)
_MOST_TYPES_KEPT: Final = 256


class Inputs:
    """Reads the requests of one service.

    Args:
        settings: the limits.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._strategies: dict[bytes, Callable[[Request], Reading]] = {
            b"application/json": self._json,
            b"application/json; charset=utf-8": self._json,
            b"application/octet-stream": self._image,
            b"image/jpeg": self._image,
            b"image/png": self._image,
            b"": self._by_content,
        }

    def reader_of(self, request: Request) -> Read:
        """Return what will find the images in the body; nothing is read yet.

        Raises:
            Refusal: 415, the content type or encoding is none of those that are taken; 400, the
                body is empty.
        """
        encoding = request.header(b"content-encoding")
        if encoding is not None and encoding.strip().lower() not in (b"identity", b""):
            raise refusals.unsupported_media_type(
                "a body without content encoding", encoding.decode("latin-1")[:40]
            )
        if not request.body:
            raise refusals.bad_request(f"Expected {unsupported.TAKEN}, or JSON. Got an empty body.")
        content_type = request.header(b"content-type") or b""
        strategy = self._strategies.get(content_type) or self._strategy_of(content_type)
        return lambda: strategy(request)

    def _strategy_of(self, content_type: bytes) -> Callable[[Request], Reading]:
        kind = content_type.partition(b";")[0].strip().lower()
        if kind == b"text/json" or is_json(kind):
            strategy = self._json
        elif kind == b"multipart/form-data":
            return self._form  # its boundary differs each time
        elif kind == b"application/octet-stream" or kind.startswith(b"image/"):
            strategy = self._image
        else:
            strategy = self._by_content
        if len(self._strategies) < _MOST_TYPES_KEPT and len(content_type) <= 100:
            self._strategies[content_type] = strategy
        return strategy

    def _image(self, request: Request) -> Reading:
        return Reading([Item(request.body)], SINGLE)

    def _json(self, request: Request) -> Reading:
        return read_json(request.body, self._settings)

    def _form(self, request: Request) -> Reading:
        return read_form(request.header(b"content-type") or b"", request.body, self._settings)

    def _by_content(self, request: Request) -> Reading:
        if unsupported.looks_like_image(request.body[:1024]):
            return self._image(request)
        if request.body[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
            return self._json(request)
        content_type = request.header(b"content-type") or b""
        raise refusals.unsupported_media_type(_TAKEN, content_type.decode("latin-1")[:100])


def content_of(image: bytes | str, most_bytes: int) -> bytes | Failure:
    """Return the content of an image file that came as it is, in base64 or as a data URI."""
    if isinstance(image, str):
        if len(image) > most_bytes // 2 * 3 + 1000:  # 4/3, and some more for line breaks
            return _too_large(most_bytes)
        decoded = _from_base64(image)
        if decoded is None:
            return Failure(422, "Expected base64 text or a data URI. Got text that is neither.")
        image = decoded
    if not image:
        return Failure(422, f"Expected {unsupported.TAKEN}. Got nothing.")
    return image if len(image) <= most_bytes else _too_large(most_bytes)


def _too_large(most_bytes: int) -> Failure:
    return Failure(
        413,
        f"Expected an image of at most {most_bytes:,} bytes (max_image_bytes). Got a larger one.",
    )


def _from_base64(text: str) -> bytes | None:
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            return None
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        pass
    try:  # some programs break lines
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError:
        return None


def unreadable(image: bytes, content_type: bytes, why: str) -> Failure:
    """Return why an image could not be decoded: its format if that can be told, else `why`."""
    kind = content_type.partition(b";")[0].strip().lower()
    name = unsupported.format_of(image) or unsupported.format_of_type(kind)
    return Failure(415, unsupported.advice(name)) if name else Failure(422, why)
