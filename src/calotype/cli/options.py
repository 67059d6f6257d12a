"""Command-line options made from declared parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from calotype.parameters import ParameterDescription, Parameters, describe

Decorated = Callable[..., None]


def parameter_options(
    parameters: type[Parameters], *, names: Mapping[str, str] | None = None
) -> Callable[[Decorated], Decorated]:
    """Add an option for each parameter: `--size N`, `--resize/--no-resize`.

    Values arrive as they were typed and are checked by `parameters` itself, so that a wrong one
    has the same message and number everywhere.

    Args:
        parameters: the declared ones.
        names: options that are not called as their parameters are, by the name of these.
    """
    called = names or {}

    def decorate(function: Decorated) -> Decorated:
        for name, description in reversed(describe(parameters).items()):
            function = _option(name, called.get(name, name), description)(function)
        return function

    return decorate


def _option(
    name: str, called: str, description: ParameterDescription
) -> Callable[[Decorated], Decorated]:
    flag = f"--{called.replace('_', '-')}"
    attributes: dict[str, Any] = {
        "default": description["default"],
        "show_default": description["default"] is not None,
        "help": _help(description),
    }
    if description["type"] == "boolean":
        return click.option(f"{flag}/--no-{flag[2:]}", name, **attributes)
    if attributes["default"] is not None:
        attributes["default"] = str(attributes["default"])  # or click would check the type first
    metavar = "|".join(description["choices"] or []) or description["type"].upper()
    return click.option(flag, name, metavar=metavar, **attributes)


def _help(description: ParameterDescription) -> str:
    low, high = description["minimum"], description["maximum"]
    if low is None and high is None:
        return description["help"]
    if high is None:
        return f"{description['help']}  [at least {low:g}]"
    return f"{description['help']}  [{low or 0:g} to {high:g}]"
