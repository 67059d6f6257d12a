"""How pages say numbers in plain words."""

from __future__ import annotations

import math
from collections.abc import Callable

NOTHING = "–"
_UNITS = ("kB", "MB", "GB", "TB")


def count(value: float) -> str:
    """Return a whole number with its thousands apart: `12,345`."""
    return f"{value:,.0f}"


def decimal(value: float | None) -> str:
    """Return a number with four decimals, or a dash when there is none."""
    return NOTHING if value is None or math.isnan(value) else f"{value:.4f}"


def percent(value: float) -> str:
    """Return a part of one as a percentage: `93.1 %`."""
    return f"{100 * value:.1f} %"


def size(value: int) -> str:
    """Return a number of bytes in the unit that suits it.

    >>> size(999), size(123_456), size(5_000_000_000)
    ('999 bytes', '123 kB', '5.0 GB')
    """
    if value < 1000:
        return f"{value} bytes"
    amount, unit = value / 1000, 0
    while amount >= 999.5 and unit + 1 < len(_UNITS):
        amount, unit = amount / 1000, unit + 1
    return f"{amount:,.{1 if amount < 9.95 else 0}f} {_UNITS[unit]}"


def class_name(name: str) -> str:
    """Return a class name that can be seen: the empty one and blanks stand in quotes."""
    return name if name.strip() == name and name else f'"{name}"'


FILTERS: dict[str, Callable[..., str]] = {
    "count": count,
    "decimal": decimal,
    "percent": percent,
    "size": size,
    "class_name": class_name,
}
