"""What commands about a deployed service share: `-n`, its names, its management."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from calotype.cli.completion import complete_services
from calotype.cli.workspace_option import current_workspace, workspace_option

if TYPE_CHECKING:
    from calotype.hosting.management import Management

Decorated = Callable[..., None]


def name_option(function: Decorated) -> Decorated:
    """Add `-n/--name`, which names a service, and `-w`."""
    named = click.option(
        "-n", "--name", required=True, shell_complete=complete_services, help="Of the service."
    )
    return named(workspace_option(function))


def management() -> Management:
    """Return the management of the workspace that this command means."""
    from calotype.hosting.management import Management

    return Management(current_workspace())


def pairs(given: tuple[str, ...], *, option: str) -> dict[str, str] | None:
    """Return `name=value` texts as a dictionary; None when nothing was given.

    Raises:
        UsageError: one has no `=`.
    """
    found: dict[str, str] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise click.UsageError(f"{option} takes NAME=VALUE, not '{text}'.")
        found[name] = value
    return found or None
