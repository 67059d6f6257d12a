"""Options that are given several times as `key=value`: tags, properties and variables."""

from __future__ import annotations

import os
from collections.abc import Callable

import click

Decorated = Callable[..., None]


def pairs_option(*flags: str, help: str) -> Callable[[Decorated], Decorated]:
    """Add an option whose values become a dictionary."""
    return click.option(*flags, multiple=True, metavar="KEY=VALUE", callback=_pairs, help=help)


def variables_option(*flags: str, help: str) -> Callable[[Decorated], Decorated]:
    """Add an option for variables; one without a value has that of our own environment.

    So that a secret does not stand on the command line, where every user of the machine reads it.
    """
    return click.option(
        *flags, multiple=True, metavar="KEY[=VALUE]", callback=_variables, help=help
    )


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


def _variables(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    given = [value if "=" in value else _with_our_value(value, option) for value in values]
    return _pairs(context, option, tuple(given))


def _with_our_value(name: str, option: click.Parameter) -> str:
    if name not in os.environ:
        raise click.BadParameter(f"the environment has no variable '{name}'.", param=option)
    return f"{name}={os.environ[name]}"


def _filters(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str, ...]]:
    filters: list[tuple[str, ...]] = []
    for value in values:
        key, sign, text = value.partition("=")
        filters.append((key, text) if sign else (key,))
    return filters
