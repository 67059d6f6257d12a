"""Command-line options that several commands have, or that declared parameters make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from calotype.parameters import ParameterDescription, Parameters

Decorated = Callable[..., None]
PATH = click.Path(path_type=Path)


def choice_option(
    flag: str, choices: Sequence[str], help: str, *, name: str | None = None
) -> Callable[[Decorated], Decorated]:
    """Add an option with a few possible words, of which the first is the default.

    Args:
        flag: the option, such as `--labels`.
        choices: the words.
        help: what the words mean.
        name: of the function's parameter, if it is another than the option's.
    """
    names = (flag, name) if name is not None else (flag,)
    return click.option(
        *names, type=click.Choice(choices), default=choices[0], show_default=True, help=help
    )


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
    from calotype.parameters import describe

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
        "show_default": description["default"] not in (None, ""),
        "help": _help(description),
    }
    if description["type"] == "boolean":
        return click.option(f"{flag}/--no-{flag[2:]}", name, **attributes)
    if attributes["default"] is not None:
        attributes["default"] = str(attributes["default"])  # or click would check the type first
    kind = "list" if description["type"] == "array" else description["type"]
    if kind == "list":
        attributes.update(default="", show_default=False)
    metavar = "|".join(description["choices"] or []) or kind.upper()
    return click.option(flag, name, metavar=metavar, **attributes)


def _help(description: ParameterDescription) -> str:
    bounds = f"  [{description['range']}]" if description["range"] else ""
    # What modules say to those who know the retired designer.
    return description["help"].removesuffix(" (Not in the original.)") + bounds
