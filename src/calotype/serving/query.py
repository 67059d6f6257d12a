"""The query of an address, and forms that are written in the same way, as values."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl


def query_pairs(query: bytes) -> list[tuple[str, str]]:
    """Return names and values in order, decoded; a name without `=` has an empty value."""
    return parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True, errors="replace")


def query_values(query: bytes) -> dict[str, Any]:
    """Return the values by name, read as JSON where they are JSON; a list for repeated names.

    >>> query_values(b"a=1&b=[1,2]&a=x")
    {'a': [1, 'x'], 'b': [1, 2]}
    """
    values: dict[str, list[Any]] = {}
    for name, text in query_pairs(query):
        values.setdefault(name, []).append(_value(text))
    return {name: found if len(found) > 1 else found[0] for name, found in values.items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
