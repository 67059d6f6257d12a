"""Options that are given several times as `key=value`: tags and properties."""

from __future__ import annotations

from collections.abc import Callable

import click

Decorated = Callable[..., None]


def pairs_option(*flags: str, help: str) -> Callable[[Decorated], Decorated]:
    """Add an option whose values become a dictionary."""
    return click.option(*flags, multiple=True, metavar="KEY=VALUE", callback=_pairs, help=help)


def filter_option(*flags: str, help: str) -> Callable[[Decorated], Decorated]:
    """Add an option whose values become filters: (key,) or (key, value)."""
    return click.option(*flags, multiple=True, metavar="KEY[=VALUE]", callback=_filters, help=help)


def _pairs(
    _context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    made: dict[str, str] = {}
    for value in values:
        key, sign, text = value.partition("=")
        if not sign or not key:
            raise click.BadParameter(f"expected KEY=VALUE, not '{value}'.", param=option)
        made[key] = text
    return made


def _filters(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str, ...]]:
    filters: list[tuple[str, ...]] = []
    for value in values:
        key, sign, text = value.partition("=")
        filters.append((key, text) if sign else (key,))
    return filters
