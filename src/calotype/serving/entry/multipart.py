"""The parts of a multipart/form-data body: fields and uploaded files, for entry scripts."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from calotype.serving.entry.multi_values import HeaderLines, MultiValues
from calotype.serving.refusals import Refusal, bad_request


class UploadedFile:
    """One file of a form; reads like an open file, so that `PIL.Image.open` takes it."""

    def __init__(self, name: str, filename: str, headers: HeaderLines, data: bytes) -> None:
        self.name = name
        self.filename = filename
        self.headers = headers
        self.stream = io.BytesIO(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)  # read, seek, tell, close and the like

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.stream)

    def __repr__(self) -> str:
        return f"<UploadedFile {self.filename!r} ({self.content_type!r})>"

    @property
    def content_type(self) -> str | None:
        """The type that the sender gave."""
        return self.headers.get("Content-Type")

    @property
    def mimetype(self) -> str:
        """The content type without its options."""
        return (self.content_type or "").partition(";")[0].strip().lower()

    @property
    def content_length(self) -> int:
        """How many bytes the file has."""
        return self.stream.getbuffer().nbytes

    def save(self, target: str | Path | BinaryIO) -> None:
        """Write what is not read yet to a path or an open file."""
        if isinstance(target, str | Path):
            with Path(target).open("wb") as file:
                shutil.copyfileobj(self.stream, file)
        else:
            shutil.copyfileobj(self.stream, target)


class Form:
    """A form that has been read: `fields` and `files`."""

    def __init__(self) -> None:
        self.fields: MultiValues[str] = MultiValues(())
        self.files: MultiValues[UploadedFile] = MultiValues(())


def parsed_form(body: bytes, content_type: bytes, *, max_parts: int) -> Form:
    """Return the parts of a multipart body.

    Raises:
        Refusal: the body is broken, or has more than `max_parts` parts.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise bad_request("The content type multipart/form-data needs a boundary. Got none.")
    collector = _Collector(max_parts)
    try:
        parser = MultipartParser(boundary, collector.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise bad_request(f"The multipart body cannot be read: {error}.") from None
    if not collector.is_complete:
        raise bad_request("The multipart body ends before its last boundary. Send it whole.")
    form = Form()
    form.fields = MultiValues(collector.fields)
    form.files = MultiValues((file.name, file) for file in collector.files)
    return form


class _Collector:
    def __init__(self, max_parts: int) -> None:
        self.fields: list[tuple[str, str]] = []
        self.files: list[UploadedFile] = []
        self.is_complete = False
        self._max_parts = max_parts
        self._parts = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._name = self._value = b""
        self._data = bytearray()

    def callbacks(self) -> Any:  # the parser's own type differs from version to version
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_to_name,
            "on_header_value": self._add_to_value,
            "on_header_end": self._end_header,
            "on_part_data": self._add_data,
            "on_part_end": self._end,
            "on_end": self._complete,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > self._max_parts:
            limit = f"{self._max_parts} (max_multipart_parts)"
            raise Refusal(413, f"The form has more parts than this service takes: {limit}.")
        self._headers, self._data = [], bytearray()

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers.append((self._name, self._value))
        self._name = self._value = b""

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._data += memoryview(data)[start:end]

    def _end(self) -> None:
        headers = HeaderLines(
            (name.decode("latin-1").title(), value.decode("latin-1").strip())
            for name, value in self._headers
        )
        _, options = parse_options_header(headers.get("Content-Disposition"))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        filename = options.get(b"filename")
        if filename is None:
            self.fields.append((name, self._data.decode("utf-8", "replace")))
        else:
            text = filename.decode("utf-8", "replace")
            self.files.append(UploadedFile(name, text, headers, bytes(self._data)))

    def _complete(self) -> None:
        self.is_complete = True
