"""Requests as `multipart/form-data`: what `curl -F`, HTML forms and many libraries send."""

from __future__ import annotations

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from calotype.serving import refusals
from calotype.serving.images.answers import LISTED
from calotype.serving.images.json_bodies import too_many
from calotype.serving.images.work import Item, Reading
from calotype.serving.settings import ServiceSettings

_LONGEST_NAME = 255  # characters; what file systems allow
_EXPECTED = "Expected multipart/form-data with one or more files"


def read_form(content_type: bytes, body: bytes, settings: ServiceSettings) -> Reading:
    """Return the files of a form in their order; its other fields are ignored.

    Raises:
        Refusal: 400, it is no whole form with a file; 413, it has too many parts or files.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise refusals.bad_request(f"{_EXPECTED} and a boundary. Got no boundary.")
    parts = _Parts(settings.max_multipart_parts)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_part_data": parts.add_data,
                "on_header_field": parts.add_header_name,
                "on_header_value": parts.add_header_value,
                "on_header_end": parts.end_header,
                "on_end": parts.end,
            },
        )
        parser.write(body)
    except FormParserError:
        raise refusals.bad_request(f"{_EXPECTED}. Got a form that is damaged.") from None
    if not parts.is_whole:
        raise refusals.bad_request(f"{_EXPECTED}. Got a form that ends early.")
    files = [part for part in parts.found if part.is_file]
    if not files:
        raise refusals.bad_request(f"{_EXPECTED}. Got a form without any.")
    if len(files) > settings.max_items:
        raise too_many(len(files), settings)
    return Reading([Item(bytes(one.data), {"file": one.name}) for one in files], LISTED)


@dataclass(slots=True)
class _Part:
    data: bytearray = field(default_factory=bytearray)
    disposition: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    content_type: bytes = b""

    @property
    def is_file(self) -> bool:
        is_binary = self.content_type.startswith((b"image/", b"application/octet-stream"))
        return b"filename" in self.disposition or is_binary

    @property
    def name(self) -> str:
        name = self.disposition.get(b"filename") or self.disposition.get(b"name", b"")
        return name.decode("utf-8", "replace")[:_LONGEST_NAME]


class _Parts:
    """Takes what the parser finds."""

    def __init__(self, most: int) -> None:
        self.found: list[_Part] = []
        self.is_whole = False
        self._most = most
        self._header_name = b""
        self._header_value = b""

    def begin(self) -> None:
        if len(self.found) == self._most:
            raise refusals.Refusal(
                413, f"Expected a form of at most {self._most:,} parts (max_multipart_parts)."
            )
        self.found.append(_Part())

    def add_data(self, data: bytes, start: int, end: int) -> None:
        # A view, as a slice would copy the image once more.
        self.found[-1].data += memoryview(data)[start:end]

    def add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def end_header(self) -> None:
        name, value = self._header_name.lower(), self._header_value
        self._header_name = self._header_value = b""
        if name == b"content-disposition":
            self.found[-1].disposition = parse_options_header(value)[1]
        elif name == b"content-type":
            self.found[-1].content_type = value.strip().lower()

    def end(self) -> None:
        self.is_whole = True
