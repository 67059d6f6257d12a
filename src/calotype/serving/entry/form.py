"""Fields and uploaded files of a form, as the request object of entry scripts shows them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from calotype.serving.entry.multi_values import HeaderLines, MultiValues
from calotype.serving.multipart import parts_of


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
    """Return the parts of a multipart body as fields and files.

    Raises:
        Refusal: the body is broken, or has more than `max_parts` parts.
    """
    fields: list[tuple[str, str]] = []
    files: list[tuple[str, UploadedFile]] = []
    for part in parts_of(body, content_type, max_parts=max_parts):
        name = part.disposition.get(b"name", b"").decode("utf-8", "replace")
        filename = part.disposition.get(b"filename")
        if filename is None:
            fields.append((name, part.data.decode("utf-8", "replace")))
            continue
        headers = HeaderLines(
            (key.decode("latin-1").title(), value.decode("latin-1").strip())
            for key, value in part.headers
        )
        file = UploadedFile(name, filename.decode("utf-8", "replace"), headers, bytes(part.data))
        files.append((name, file))
    form = Form()
    form.fields, form.files = MultiValues(fields), MultiValues(files)
    return form
