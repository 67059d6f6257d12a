"""What the user sees: one document on stdout, progress and warnings on stderr."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from calotype.cli.tables import facts, table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from calotype.progress import Progress as ProgressListener

__all__ = [
    "OutputFormat",
    "ProgressBar",
    "Terminal",
    "command",
    "examples",
    "facts",
    "moment",
    "output_options",
    "stdout_console",
    "table",
]

OutputFormat = Literal["table", "json"]


@dataclass
class Terminal:
    """The user's choices about output, and the two streams that honour them."""

    output: OutputFormat = "table"
    quiet: bool = False
    verbose: bool = False
    _bar: ProgressBar | None = field(default=None, repr=False)

    @property
    def progress(self) -> ProgressListener:
        """The listener that long work reports to."""
        if self._bar is None:
            self._bar = ProgressBar(quiet=self.quiet)
        return self._bar

    def show(
        self, document: Mapping[str, Any] | Sequence[Any], render: Callable[[Console], None]
    ) -> None:
        """Print the result: `document` as JSON when asked for, else what `render` draws."""
        if self.output == "json":
            text = json.dumps(document, ensure_ascii=False, indent=2, default=str, allow_nan=False)
            click.echo(text)
        elif not self.quiet:
            render(stdout_console())


def stdout_console() -> Console:
    """Return a console on stdout; it draws tables as wide as the terminal, 100 columns in files."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 100
    return Console(width=width, highlight=False, soft_wrap=False)


def moment(at: str | datetime) -> str:
    """Return a time as all tables show it; what is no time stays as it is.

    >>> moment("2026-11-22T13:42:59.123456+00:00")
    '2026-11-22 13:42 UTC'
    """
    try:
        known = datetime.fromisoformat(at) if isinstance(at, str) else at
    except ValueError:  # of a model that somebody else has described
        return str(at)
    known = known if known.tzinfo else known.replace(tzinfo=UTC)
    return f"{known.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


class ProgressBar:
    """Progress on stderr: a live bar on a terminal, a line every ten seconds elsewhere."""

    _LINE_EVERY_S = 10.0

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._done = 0
        self._total: int | None = None
        self._name = ""
        self._unit = ""
        self._note = ""
        self._started_s = 0.0
        self._last_line_s = 0.0

    def begin(self, task: str, *, total: int | None, unit: str) -> None:
        """Start the bar of one task."""
        self._name, self._unit, self._total, self._done, self._note = task, unit, total, 0, ""
        self._started_s = self._last_line_s = time.monotonic()
        if self._quiet or not sys.stderr.isatty():
            return
        self._live = _live_bar()
        self._live.start()
        self._task = self._live.add_task(task, total=total, note="")

    def advance(self, count: int = 1, *, note: str = "") -> None:
        """Move the bar on."""
        self._done += count
        self._note = note or self._note
        if self._live is not None and self._task is not None:
            self._live.update(self._task, advance=count, note=self._note or self._rate())
        elif not self._quiet and time.monotonic() - self._last_line_s > self._LINE_EVERY_S:
            self._last_line_s = time.monotonic()
            of = f" of {self._total:,}" if self._total else ""
            text = ", ".join(filter(None, [self._note or self._rate(), self._left()]))
            click.echo(f"{self._name}: {self._done:,}{of}, {text}", err=True)

    def end(self) -> None:
        """Leave the bar as it stands."""
        if self._live is not None:
            self._live.stop()
        self._live = self._task = None

    def say(self, message: str) -> None:
        """Print one sentence above the bar."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.console.print(message, markup=False, highlight=False)
        else:
            click.echo(message, err=True)

    def _left(self) -> str:
        if not self._total or not self._done:
            return ""
        elapsed_s = time.monotonic() - self._started_s
        left_s = elapsed_s / self._done * (self._total - self._done)
        return f"{left_s / 60:.0f} min left" if left_s > 90 else f"{left_s:.0f} s left"

    def _rate(self) -> str:
        elapsed_s = time.monotonic() - self._started_s
        return f"{self._done / elapsed_s:,.0f} {self._unit}/s" if elapsed_s > 0 else ""


def _live_bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def command(**attributes: Any) -> Callable[[Callable[..., None]], click.Command]:
    """Make a click command that also takes `-o`, `-q` and `-v`, and gets a `Terminal` first."""

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(*, output: OutputFormat | None, quiet: bool, verbose: bool, **values: Any) -> None:
            terminal = click.get_current_context().ensure_object(Terminal)
            terminal.output = output or terminal.output
            terminal.quiet = quiet or terminal.quiet
            terminal.verbose = verbose or terminal.verbose
            function(terminal, **values)

        return click.command(**attributes)(output_options(run))

    return decorate


def output_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add `-o`, `-q` and `-v`: every command has them, and so has the program itself."""
    for option in reversed(
        (
            click.option(
                "-o",
                "--output",
                type=click.Choice(["table", "json"]),
                help="How to print the result; json prints one document and nothing else.",
            ),
            click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
            click.option("-v", "--verbose", is_flag=True, help="Show the trace of an error."),
        )
    ):
        function = option(function)
    return function


def examples(*lines: str) -> str:
    """Return the text that closes a `--help` page: commands to copy."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
