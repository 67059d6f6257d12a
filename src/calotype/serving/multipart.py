"""The parts of a multipart/form-data body, for every kind of service."""

from __future__ import annotations

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from calotype.serving.refusals import Refusal, bad_request


@dataclass(slots=True)
class Part:
    """A field or a file.

    Attributes:
        headers: as they were sent.
        disposition: the options of Content-Disposition, such as `name` and `filename`.
        content_type: of the part, in lower case; empty for none.
        data: the content.
    """

    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    disposition: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    content_type: bytes = b""
    data: bytearray = field(default_factory=bytearray)

    def add_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; those that say what the part is are looked at."""
        self.headers.append((name, value))
        if name.lower() == b"content-disposition":
            self.disposition = parse_options_header(value)[1]
        elif name.lower() == b"content-type":
            self.content_type = value.strip().lower()


def parts_of(body: bytes, content_type: bytes, *, max_parts: int) -> list[Part]:
    """Return the parts of a form in their order.

    Raises:
        Refusal: 400, the body is no whole form; 413, it has more than `max_parts` parts.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise bad_request("The content type multipart/form-data needs a boundary. Got none.")
    collector = _Collector(max_parts)
    try:
        MultipartParser(
            boundary,
            {
                "on_part_begin": collector.begin,
                "on_header_field": collector.add_to_name,
                "on_header_value": collector.add_to_value,
                "on_header_end": collector.end_header,
                "on_part_data": collector.add_data,
                "on_end": collector.complete,
            },
        ).write(body)
    except FormParserError as error:
        raise bad_request(f"The multipart body cannot be read: {error}.") from None
    if not collector.is_complete:
        raise bad_request("The multipart body ends before its last boundary. Send it whole.")
    return collector.parts


class _Collector:
    """Takes what the parser finds."""

    def __init__(self, max_parts: int) -> None:
        self.parts: list[Part] = []
        self.is_complete = False
        self._max_parts = max_parts
        self._name = self._value = b""

    def begin(self) -> None:
        if len(self.parts) == self._max_parts:
            limit = f"{self._max_parts:,} (max_multipart_parts)"
            raise Refusal(413, f"The form has more parts than this service takes: {limit}.")
        self.parts.append(Part())

    def add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        self.parts[-1].add_header(self._name, self._value)
        self._name = self._value = b""

    def add_data(self, data: bytes, start: int, end: int) -> None:
        # A view, as a slice would copy the content once more.
        self.parts[-1].data += memoryview(data)[start:end]

    def complete(self) -> None:
        self.is_complete = True
