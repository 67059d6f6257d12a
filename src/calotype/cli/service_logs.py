"""`calotype service get-logs`: what replicas said, also when they did not start."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from calotype import errors
from calotype.cli.log_display import Shown, document_of, in_order, text_of
from calotype.cli.service_option import management, name_option
from calotype.cli.terminal import Terminal, command, examples

if TYPE_CHECKING:
    from calotype.hosting.management import Management

_LOOK_EVERY_S = 0.5
_MOST_LINES = 5000


@command(
    name="get-logs",
    epilog=examples(
        "calotype service get-logs -n flowers --num-lines 50",
        "calotype service get-logs -n flowers --init",
        "calotype service get-logs -n flowers --follow",
    ),
)
@name_option
@click.option(
    "--num-lines",
    type=click.IntRange(min=1),
    default=_MOST_LINES,
    show_default=True,
    help="At most, the last ones.",
)
@click.option("--init", is_flag=True, help="Only what was logged until each replica was ready.")
@click.option("--follow", is_flag=True, help="Go on printing until Ctrl-C.")
@click.option("--version", help="Of one version only.")
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "text"]),
    default="auto",
    show_default=True,
    help="json: as it is stored; auto: text in a terminal.",
)
def get_logs(
    terminal: Terminal,
    name: str,
    num_lines: int,
    init: bool,
    follow: bool,
    version: str | None,
    log_format: Shown,
) -> None:
    """Print the log of a service, during its deployment and afterwards."""
    if follow and (init or terminal.output == "json"):
        raise click.UsageError("--follow excludes --init and -o json.")
    source = management()
    most = max(num_lines, _MOST_LINES) if follow else num_lines
    lines = _lines(source.logs(name, num_lines=most, init=init, version=version))
    shown = in_order(lines)[-num_lines:]
    document = {"name": name, "lines": document_of(shown)}
    terminal.show(document, lambda _: click.echo(text_of(shown, log_format), nl=False))
    if follow:
        _follow(source, name, version, lines, log_format)


def _lines(text: str) -> list[str]:
    """Split at line ends alone; `splitlines` would also split at what a message may contain."""
    return text.removesuffix("\n").split("\n") if text else []


def _follow(
    source: Management, name: str, version: str | None, seen: list[str], log_format: Shown
) -> None:
    while True:
        time.sleep(_LOOK_EVERY_S)
        try:
            now = _lines(source.logs(name, num_lines=_MOST_LINES, version=version))
        except errors.NotFound:  # it was deleted
            return
        if came := in_order(_new(seen, now)):
            click.echo(text_of(came, log_format), nl=False)
        seen = now


def _new(seen: list[str], now: list[str]) -> list[str]:
    """Return the lines that came since; a line of a slower replica may stand before old ones."""
    left: dict[str, int] = {}
    for line in seen:
        left[line] = left.get(line, 0) + 1
    found: list[str] = []
    for line in now:
        if left.get(line):
            left[line] -= 1
        else:
            found.append(line)
    return found
