"""Requests as `multipart/form-data`: what `curl -F`, HTML forms and many libraries send."""

from __future__ import annotations

from calotype.serving import refusals
from calotype.serving.images.answers import LISTED
from calotype.serving.images.json_bodies import too_many
from calotype.serving.images.work import Item, Reading
from calotype.serving.multipart import Part, parts_of
from calotype.serving.settings import ServiceSettings

_LONGEST_NAME = 255  # characters; what file systems allow


def read_form(content_type: bytes, body: bytes, settings: ServiceSettings) -> Reading:
    """Return the files of a form in their order; its other fields are ignored.

    Raises:
        Refusal: 400, it is no whole form with a file; 413, it has too many parts or files.
    """
    parts = parts_of(body, content_type, max_parts=settings.max_multipart_parts)
    files = [part for part in parts if _is_file(part)]
    if not files:
        raise refusals.bad_request("Expected a form with one or more files. Got one without any.")
    if len(files) > settings.max_items:
        raise too_many(len(files), settings)
    return Reading([Item(bytes(one.data), {"file": _name(one)}) for one in files], LISTED)


def _is_file(part: Part) -> bool:
    is_binary = part.content_type.startswith((b"image/", b"application/octet-stream"))
    return b"filename" in part.disposition or is_binary


def _name(part: Part) -> str:
    name = part.disposition.get(b"filename") or part.disposition.get(b"name", b"")
    return name.decode("utf-8", "replace")[:_LONGEST_NAME]
