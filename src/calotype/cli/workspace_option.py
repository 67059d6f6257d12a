"""`-w/--workspace`: the workspace that a command works in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from calotype.workspace.workspace import Workspace

_GIVEN = "calotype.workspace"
_OPENED = "calotype.workspace.opened"


def workspace_option(function: Callable[..., None]) -> Callable[..., None]:
    """Add `-w`; the command itself gets no parameter of it and calls `current_workspace`."""
    return click.option(
        "-w",
        "--workspace",
        metavar="DIR|URL",
        expose_value=False,
        callback=_remember,
        help="The workspace.  [default: CALOTYPE_WORKSPACE, else the nearest .calotype, else the "
        "one in the user's data folder]",
    )(function)


def given_workspace() -> str | None:
    """Return what `-w` said, at the command or before it."""
    return click.get_current_context().meta.get(_GIVEN)


def current_workspace(*, make: bool = False) -> Workspace:
    """Return the workspace that this call of the program means; closed when the program ends.

    Args:
        make: make the one in the user's data folder if no other was named or found, and there is
            none yet; for commands that register something.

    Raises:
        NotFound: there is none.
        CorruptWorkspace: it cannot be read.
    """
    from calotype.workspace.opening import open_workspace

    context = click.get_current_context().find_root()
    opened: Workspace | None = context.meta.get(_OPENED)
    if opened is None:
        opened = open_workspace(given_workspace(), make=make)
        context.meta[_OPENED] = opened
        context.call_on_close(opened.close)
    return opened


def _remember(context: click.Context, _option: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.meta[_GIVEN] = value
