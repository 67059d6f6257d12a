"""`calotype environment`: what entry scripts need to run, registered under names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calotype.cli.options import PATH
from calotype.cli.pairs import variables_option
from calotype.cli.terminal import Terminal, command, examples, facts, table
from calotype.cli.workspace_option import current_workspace, workspace_option

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.workspace.environments import EnvironmentDefinition


@click.group(
    epilog=examples(
        "calotype environment register numbers --pip-requirements requirements.txt",
        "calotype model deploy -n prices -m prices --entry-script score.py -e numbers",
    )
)
def environment() -> None:
    """Register packages and variables of entry scripts under a name, and find them again."""


@command(
    epilog=examples(
        "calotype environment register numbers --pip-requirements requirements.txt",
        "calotype environment register numbers --conda-file conda.yml --variable MODE=fast",
        "calotype environment register numbers --python /opt/numbers/bin/python --variable TOKEN",
    )
)
@click.argument("name")
@click.option("--conda-file", type=PATH, metavar="FILE", help="Packages as `conda env` has them.")
@click.option("--pip-requirements", type=PATH, metavar="FILE", help="Packages as pip has them.")
@click.option(
    "--python",
    metavar="PATH|VERSION",
    help="A Python that has all packages already; or the version that is wanted, as 3.11.",
)
@variables_option(
    "--variable", help="For the script; KEY alone takes the value that it has here. Repeatable."
)
@workspace_option
def register(
    terminal: Terminal,
    name: str,
    conda_file: Path | None,
    pip_requirements: Path | None,
    python: str | None,
    variable: dict[str, str],
) -> None:
    """Register the environment NAME. The same once more stays the version that it is."""
    from calotype.cli.inference import told
    from calotype.webservice.environment import Environment

    if conda_file and pip_requirements:
        raise click.UsageError("--conda-file and --pip-requirements exclude each other.")
    with told(terminal):
        if conda_file:
            made = Environment.from_conda_specification(name, conda_file)
        elif pip_requirements:
            made = Environment.from_pip_requirements(name, pip_requirements)
        else:
            made = Environment(name)
        if python and python.replace(".", "").isdecimal():
            made.python.conda_dependencies.set_python_version(python)
        elif python:
            made.python.interpreter_path = _interpreter(python)
            made.python.user_managed_dependencies = True
        made.environment_variables = variable
        known = current_workspace(make=True).environments.register(made.definition())
    _show(terminal, known)


@command(
    name="list", epilog=examples("calotype environment list", "calotype environment list numbers")
)
@click.argument("name", required=False)
@click.option("--latest", is_flag=True, help="Of each name the newest version only.")
@workspace_option
def list_(terminal: Terminal, name: str | None, latest: bool) -> None:
    """List the registered environments, of each name the newest version first."""
    found = current_workspace().environments.list(name, latest=latest)

    def render(console: Console) -> None:
        if not found:
            console.print("No environments.")
            return
        rows = [(f"{one.name}:{one.version}", _python(one), _packages(one)) for one in found]
        table(console, ("environment", "Python", "packages"), rows, less=("Python",))

    terminal.show([one.to_document() for one in found], render)


@command(
    epilog=examples("calotype environment show numbers", "calotype environment show numbers:1")
)
@click.argument("name")
@workspace_option
def show(terminal: Terminal, name: str) -> None:
    """Show an environment: NAME for its newest version, or NAME:VERSION."""
    from calotype.workspace.naming import Reference

    reference = Reference.parse(name, kind="environment")
    _show(terminal, current_workspace().environments.get(reference.name, reference.version))


def _interpreter(python: str) -> str:
    from calotype import errors

    path = Path(python).absolute()
    if not path.is_file():
        raise errors.NotFound(
            "expected a Python, or a version as 3.11",
            where="--python",
            got=f"'{python}', which is no file",
            action="Check the path.",
        )
    return str(path)


def _show(terminal: Terminal, found: EnvironmentDefinition) -> None:
    from calotype.workspace.sealed_variables import MASK

    document: dict[str, Any] = found.to_document()
    rows: list[tuple[str, object]] = [
        ("environment", f"{found.name}:{found.version}"),
        ("Python", _python(found)),
        ("packages", _packages(found) or "none of its own"),
        *(("variable", f"{name}={MASK}") for name in found.environment_variables),
        *([("base image", found.base_image)] if found.base_image else []),
    ]
    terminal.show(document, lambda console: facts(console, rows))


def _python(found: EnvironmentDefinition) -> str:
    return found.interpreter or found.python_version or "this one"


def _packages(found: EnvironmentDefinition) -> str:
    return ", ".join((*found.conda_dependencies, *found.pip_requirements))


for _command in (register, list_, show):
    environment.add_command(_command)
