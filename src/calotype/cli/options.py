"""Command-line options made from declared parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from calotype.parameters import ParameterDescription, Parameters, describe

Decorated = Callable[..., None]


def parameter_options(parameters: type[Parameters]) -> Callable[[Decorated], Decorated]:
    """Add an option for each parameter: `--size N`, `--resize/--no-resize`.

    Values arrive as they were typed and are checked by `parameters` itself, so that a wrong one
    has the same message and number everywhere.
    """

    def decorate(function: Decorated) -> Decorated:
        for name, description in reversed(describe(parameters).items()):
            function = _option(name, description)(function)
        return function

    return decorate


def _option(name: str, description: ParameterDescription) -> Callable[[Decorated], Decorated]:
    flag = f"--{name.replace('_', '-')}"
    attributes: dict[str, Any] = {
        "default": description["default"],
        "show_default": True,
        "help": _help(description),
    }
    if description["type"] == "boolean":
        return click.option(f"{flag}/--no-{flag[2:]}", name, **attributes)
    return click.option(flag, name, metavar=description["type"].upper(), **attributes)


def _help(description: ParameterDescription) -> str:
    range_ = f"  [{description['range']}]" if description["range"] else ""
    return f"{description['help']}{range_}"
