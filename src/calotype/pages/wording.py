"""How pages say numbers in plain words."""

from __future__ import annotations

import math
from collections.abc import Callable

NOTHING = "–"


def count(value: float) -> str:
    """Return a whole number with its thousands apart: `12,345`."""
    return f"{value:,.0f}"


def decimal(value: float | None) -> str:
    """Return a number with four decimals, or a dash when there is none."""
    return NOTHING if value is None or math.isnan(value) else f"{value:.4f}"


def percent(value: float) -> str:
    """Return a part of one as a percentage: `93.1 %`."""
    return f"{100 * value:.1f} %"


def class_name(name: str) -> str:
    """Return a class name that can be seen: the empty one and blanks stand in quotes."""
    return name if name.strip() == name and name else f'"{name}"'


FILTERS: dict[str, Callable[..., str]] = {
    "count": count,
    "decimal": decimal,
    "percent": percent,
    "class_name": class_name,
}
