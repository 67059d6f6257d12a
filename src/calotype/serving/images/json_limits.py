"""Bounds on JSON that are checked before it is parsed, at the speed of a memory scan.

A parser makes an object of 56 bytes of every two brackets: 100 MB of them would be gigabytes.
"""

from __future__ import annotations

from calotype.serving import refusals
from calotype.serving.json_body import check_depth
from calotype.serving.settings import ServiceSettings

# A row has an image, an id and perhaps a few columns that nobody reads.
_VALUES_PER_ITEM = 32
_ALWAYS_ALLOWED = 1000
_NOT_STRUCTURE = bytes(set(range(256)) - set(b"[]{}"))


def check_json(body: bytes, settings: ServiceSettings) -> None:
    """Check that a body is neither nested too deep nor has too many values.

    Raises:
        Refusal: 400 for the depth, 413 for the number.
    """
    most_values = settings.max_items * _VALUES_PER_ITEM + _ALWAYS_ALLOWED
    openings = body.count(b"[") + body.count(b"{")
    if openings <= settings.max_json_depth and body.count(b",") <= most_values:
        return  # as nearly always: base64 has none of these characters
    outside = _outside_strings(body)
    structure = outside.translate(None, _NOT_STRUCTURE)
    if len(structure) // 2 + outside.count(b",") > most_values:
        raise refusals.Refusal(
            413,
            f"The JSON has more values than {settings.max_items:,} images need (max_items). "
            "Send fewer images at a time.",
        )
    check_depth(structure, settings.max_json_depth)


def _outside_strings(body: bytes) -> bytes:
    """Return what stands outside of strings, if the body is JSON; anything, if not."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(body.split(b'"')[::2])
