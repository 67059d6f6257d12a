"""The program `calotype`: finds the command, runs it, turns errors into one line."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping

import click

import calotype
from calotype import errors
from calotype.cli.terminal import OutputFormat, Terminal, output_options
from calotype.cli.workspace_option import workspace_option

# command: (where it lives, its line in `calotype --help`). Kept here so that the list costs no
# import of what the commands need.
COMMANDS = {
    "convert": ("convert:convert", "Make an image directory of a folder or an archive."),
    "split": ("split:split", "Split an image directory in two."),
    "transformation": ("transformation:transformation", "Describe and attach transformations."),
    "train": ("train:train", "Train an image model."),
    "score": ("score:score", "Score images with an image model."),
    "explain": ("explain:explain", "Show what a prediction rests on."),
    "evaluate": ("evaluate:evaluate", "Measure scored images against their labels."),
    "dataset": ("dataset:dataset", "Register files under a name, find them again."),
    "model": ("model:model", "Import, optimise, register and deploy models."),
    "environment": ("environment:environment", "Register what entry scripts need to run."),
    "service": ("service:service", "Call, change and look after services; write clients."),
    "workspace": ("workspace:workspace", "Make, show, check and clean a workspace."),
    "module": ("module:module", "List the modules with their ports and parameters."),
    "up": ("up:up", "Serve all that was deployed, and keep it running."),
    "down": ("up:down", "End all services of the workspace."),
    "status": ("up:status", "Show what the workspace runs."),
    "serve": ("serve:serve", "Serve a model or an entry script over HTTP."),
    "completion": ("completion:completion", "Make your shell complete commands and names."),
    "demo": ("demo:demo", "Do the whole job on real photographs."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is called, not when it is listed."""

    def __init__(self, *, homes: Mapping[str, tuple[str, str]], **attributes: object) -> None:
        super().__init__(**attributes)  # pyright: ignore[reportArgumentType] - click's own options
        self._homes = homes

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the work, not of the alphabet."""
        return list(self._homes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in self._homes:
            return None
        module, _, attribute = self._homes[cmd_name][0].partition(":")
        return getattr(importlib.import_module(f"calotype.cli.{module}"), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the first argument; an unknown one gets a suggestion."""
        if args and args[0] not in self._homes and not args[0].startswith("-"):
            # `logs` is `get-logs`, whatever else is spelt alike.
            part = next((name for name in self._homes if args[0] in name.split("-")), None)
            hint = f"Did you mean '{part}'?" if part else errors.suggest(args[0], self._homes)
            ctx.fail(f"No such command '{args[0]}'. {hint}".rstrip())
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._homes.items()])


@click.command(
    cls=LazyGroup,
    homes=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExamples:\n  calotype demo\n  calotype convert photos/ images\n"
    "  calotype score --model MODEL --images images --out scored\n"
    "  calotype evaluate scored --out report",
)
@click.version_option(calotype.__version__, prog_name="calotype")
@workspace_option
@output_options
@click.pass_context
def program(
    context: click.Context, output: OutputFormat | None, quiet: bool, verbose: bool
) -> None:
    """Train an image model once, then print its predictions anywhere."""
    context.obj = Terminal(output=output or "table", quiet=quiet, verbose=verbose)


def main() -> None:
    """Run the program and leave with its exit code: 0 done, 1 failed, 2 usage, 130 interrupted."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:  # noqa: PLR0911 - one line for each way to end
    try:
        ended = program.main(args=arguments, prog_name="calotype", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except errors.CalotypeError as error:
        return _fail(error, cause=error)
    except MemoryError as error:
        return _fail(errors.OutOfMemory("expected more free memory"), cause=error)
    except OSError as error:
        return _fail(errors.write_error(error, where=error.filename or "disk"), cause=error)
    except Exception as error:  # noqa: BLE001 - the last boundary: whatever it is becomes one line
        unexpected = errors.UnexpectedError(
            "expected no such thing",
            got=f"{type(error).__name__}: {error}",
            action="This is a defect of Calotype: run again with -v and report the trace.",
        )
        return _fail(unexpected, cause=error)
    return ended if isinstance(ended, int) else 0  # the code of click's Exit, or a command's None


def _fail(error: errors.CalotypeError, *, cause: BaseException) -> int:
    if {"-v", "--verbose"} & set(sys.argv):
        traceback.print_exception(cause)
    click.echo(error.line, err=True)
    return error.exit_code
