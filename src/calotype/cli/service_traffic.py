"""`calotype service traffic|canary|rollback`: who of the versions answers."""

from __future__ import annotations

from typing import Any

import click

from calotype.cli.deployment_progress import wait_for
from calotype.cli.options import parameter_options
from calotype.cli.service_option import management, name_option, pairs
from calotype.cli.service_versions import show_versions
from calotype.cli.terminal import Terminal, command, examples
from calotype.cli.workspace_option import current_workspace
from calotype.hosting.canary import RolloutRules


@command(
    epilog=examples(
        "calotype service traffic -n flowers",
        "calotype service traffic -n flowers blue=10",
        "calotype service traffic -n flowers --mirror blue=100",
    )
)
@name_option
@click.argument("shares", nargs=-1, metavar="[VERSION=PERCENT]...")
@click.option(
    "--mirror",
    multiple=True,
    metavar="VERSION=PERCENT",
    help="It gets copies of so many requests, whose answers nobody sees; repeatable.",
)
def traffic(
    terminal: Terminal, name: str, shares: tuple[str, ...], mirror: tuple[str, ...]
) -> None:
    """Share the requests out over the versions; the default one takes what others leave.

    A share that is set ends the roll-out of that version. Without shares, the present ones are
    shown.
    """
    percents, copies = _percents(shares, "A share"), _percents(mirror, "--mirror")
    if percents or copies:
        service = management().set_traffic(name, percents, mirror=copies)
    else:
        service = current_workspace().services.get(name)
    show_versions(terminal, service)


def _percents(given: tuple[str, ...], option: str) -> dict[str, int]:
    found = pairs(given, option=option) or {}
    for version, text in found.items():
        if not text.rstrip("%").isdecimal():
            raise click.UsageError(f"{option} takes a whole percentage, not '{version}={text}'.")
    return {version: int(text.rstrip("%")) for version, text in found.items()}


@command(
    epilog=examples(
        "calotype service canary -n flowers --version blue",
        "calotype service canary -n flowers --version blue --step-percent 25 --step-s 300",
        "calotype service rollback -n flowers    # ends it",
    )
)
@name_option
@click.option("--version", required=True, help="The new version.")
@parameter_options(RolloutRules)
def canary(terminal: Terminal, name: str, version: str, **rules: Any) -> None:
    """Roll a version out: it gets more and more of the traffic while it does well.

    When its failures or its latency are worse than those of the control version (--control), or of
    the default one when no control gets requests, it is rolled back. That is judged once it has
    given --min-requests answers since its last step, and after the last step too. A version that
    is left without a replica is rolled back as well.
    """
    show_versions(terminal, management().start_canary(name, version, **rules))


@command(
    epilog=examples(
        "calotype service rollback -n flowers",
        "calotype service rollback -n flowers --version blue --revision 2",
    )
)
@name_option
@click.option(
    "--version",
    help="Which of its versions.  [default: the one that is rolled out, else the default one]",
)
@click.option("--revision", type=int, help="Go back to this one.  [default: the one before]")
@click.option("--no-wait", is_flag=True, help="Come back before it is done.")
def rollback(
    terminal: Terminal, name: str, version: str | None, revision: int | None, no_wait: bool
) -> None:
    """Undo the last change of a service, or the roll-out of a version.

    A second roll-back undoes the first.
    """
    changes = management()
    service = changes.roll_back(name, version, revision=revision)
    if not no_wait and service.target != "batch":
        wait_for(terminal, changes, name)
    show_versions(terminal, current_workspace().services.get(name))
