"""`calotype module`: the designer's modules with their ports, parameters and documentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from calotype.cli.terminal import Terminal, command, examples, facts, table

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.modules.documentation import (
        ModuleDocumentation,
        ParameterDocumentation,
        PortDocumentation,
    )


@click.group(
    epilog=examples(
        "calotype module list",
        "calotype module show score_image_model",
    )
)
def module() -> None:
    """List the modules, and show their ports and parameters."""


@command(name="list", epilog=examples("calotype module list", "calotype module list -o json"))
def list_(terminal: Terminal) -> None:
    """List all modules: ours, and those of installed packages."""
    from calotype import modules

    documents = [modules.document(one) for one in modules.all_modules()]
    terminal.show({"modules": documents}, lambda console: _render_list(console, documents))


@command(
    epilog=examples(
        "calotype module show score_image_model",
        "calotype module show 'Train PyTorch Model'",
        "calotype module show resnet -o json",
    )
)
@click.argument("name")
def show(terminal: Terminal, name: str) -> None:
    """Show the ports and parameters of the module NAME."""
    from calotype import modules

    document = modules.document(modules.find(name))
    terminal.show(document, lambda console: _render(console, document))


def _render_list(console: Console, documents: Sequence[ModuleDocumentation]) -> None:
    rows = [
        (
            one["name"],
            one["category"],
            f"{_types_of(one['inputs'])} → {_types_of(one['outputs'])}".strip(),
        )
        for one in documents
    ]
    table(console, ["module", "category", "inputs → outputs"], rows)


def _types_of(ports: Sequence[PortDocumentation]) -> str:
    return ", ".join(
        " or ".join(port["types"]) + ("" if port["is_required"] else " (optional)")
        for port in ports
    )


def _render(console: Console, document: ModuleDocumentation) -> None:
    facts(
        console,
        [
            ("module", document["name"]),
            ("key", document["key"]),
            ("category", document["category"]),
            ("what it does", document["summary"]),
        ],
    )
    for heading in ("inputs", "outputs"):
        if ports := document[heading]:
            rows = [(port["key"], _types_of([port]), port["help"]) for port in ports]
            table(console, [heading.removesuffix("s"), "type", "what lies there"], rows)
    if parameters := document["parameters"]:
        rows = [_row_of(parameter) for parameter in parameters]
        table(console, ["parameter", "values", "default", "what it does"], rows)


def _row_of(parameter: ParameterDocumentation) -> tuple[str, ...]:
    values = ", ".join(parameter["choices"] or ()) or parameter["type"]
    if parameter["range"]:
        values += f", {parameter['range']}"
    default = "required" if parameter["is_required"] else str(parameter["default"])
    return parameter["key"], values, default, parameter["help"]


module.add_command(list_)
module.add_command(show)
