"""`calotype completion`: what shells need to complete our commands, and the names they offer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from calotype.cli.terminal import Terminal, command, examples

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from calotype.workspace.names import Kind

_PLACES = {
    "bash": "source <(calotype completion bash)    # in ~/.bashrc",
    "zsh": "source <(calotype completion zsh)     # in ~/.zshrc, after compinit",
    "fish": "calotype completion fish > ~/.config/fish/completions/calotype.fish",
}


@command(epilog=examples(*_PLACES.values()))
@click.argument("shell", type=click.Choice(list(_PLACES)))
def completion(terminal: Terminal, shell: str) -> None:
    """Print the script that makes SHELL complete commands, options, and registered names."""
    from click.shell_completion import get_completion_class

    from calotype.cli.main import program

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(program, {}, "calotype", "_CALOTYPE_COMPLETE").source_vars()
    text = kind.source_template % script
    # click's script for fish would cut every description at its first comma.
    text = text.replace('(string split "," ', '(string split --max 1 "," ')
    terminal.show({"shell": shell, "script": text}, lambda _: click.echo(text))


def complete_services(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the services whose names begin like this."""
    return _items("services", context, incomplete)


def complete_models(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the registered models, and files: `-m` takes both."""
    from click.shell_completion import CompletionItem

    found = _items("models", context, incomplete)
    return found or [CompletionItem(incomplete, type="file")]


def complete_datasets(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the registered datasets, and files."""
    from click.shell_completion import CompletionItem

    found = _items("datasets", context, incomplete)
    return found or [CompletionItem(incomplete, type="file")]


def _items(kind: Kind, context: click.Context, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from calotype.workspace.names import registered_names

    # `-w` may stand before the name that is completed; its callback has remembered it then.
    workspace = context.meta.get("calotype.workspace")
    return [
        CompletionItem(name)
        for name in registered_names(kind, workspace=workspace)
        if name.startswith(incomplete)
    ]
