"""`calotype workspace`: make one, look at it, check it, clean it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calotype.cli.terminal import Terminal, command, examples, facts, table
from calotype.cli.workspace_option import current_workspace, given_workspace, workspace_option

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.workspace.workspace import Workspace


@click.group(
    epilog=examples(
        "calotype workspace create flowers",
        "calotype workspace show",
        "calotype workspace check",
        "calotype workspace gc",
    )
)
def workspace() -> None:
    """Make a workspace, look at it, check it, clean it.

    A workspace keeps datasets, models, environments, runs and services. It is a folder .calotype;
    its database and its files may be elsewhere.
    """


@command(
    epilog=examples(
        "calotype workspace create flowers",
        "calotype workspace create flowers -w /srv/flowers",
        "calotype workspace create flowers --database postgresql://calotype@db/flowers "
        "--artifacts s3://bucket/flowers",
    )
)
@click.argument("name")
@workspace_option
@click.option(
    "--database",
    metavar="URL",
    default="",
    help="Of a database elsewhere, postgresql://user@host/database; its password is kept in "
    "PGPASSWORD or ~/.pgpass.  [default: a SQLite file in the folder]",
)
@click.option(
    "--artifacts",
    metavar="URL",
    default="",
    help="Of a store elsewhere that fsspec knows, as s3://bucket/prefix, without secrets; it gets "
    "its credentials from the environment.  [default: in the folder]",
)
@click.option("--exist-ok", is_flag=True, help="Take the one that is there.")
def create(terminal: Terminal, name: str, database: str, artifacts: str, exist_ok: bool) -> None:
    """Make a workspace NAME in the folder of -w, else in this folder."""
    from calotype.workspace import location
    from calotype.workspace.workspace import Workspace

    said = given_workspace()
    if said and location.is_database(said):
        raise click.UsageError("-w is a folder here: give the database with --database.")
    folder = location.find(said) if said else Path.cwd()
    made = Workspace.create(name, folder, exist_ok, database=database, artifacts=artifacts)
    with_closing(made)
    document = _document(made)
    terminal.show(document, lambda console: facts(console, _rows(document)))


@command(epilog=examples("calotype workspace show", "calotype workspace show -o json"))
@workspace_option
@click.option(
    "--with-credential",
    is_flag=True,
    help="Show the management key too, with which tokens are got over HTTP.",
)
def show(terminal: Terminal, with_credential: bool) -> None:
    """Show where a workspace is and what is in it."""
    opened = current_workspace()
    document = {**_document(opened), **opened.counts()}
    if with_credential:
        document["management_key"] = opened.management_key
    terminal.show(document, lambda console: facts(console, _rows(document)))


@command(epilog=examples("calotype workspace check", "calotype workspace check -o json"))
@workspace_option
def check(terminal: Terminal) -> None:
    """Read all registered files and look for damage; exit code 1 when there is any."""
    from calotype import errors
    from calotype.workspace.check import check as checked

    opened = current_workspace()
    findings = checked(opened, progress=terminal.progress)
    damage = sum(finding.is_damage for finding in findings)
    document = {"ok": not damage, "findings": [asdict(finding) for finding in findings]}

    def render(console: Console) -> None:
        if findings:
            rows = [(finding.where, finding.problem, finding.action) for finding in findings]
            table(console, ("where", "problem", "what to do"), rows)
        if not damage:
            console.print(f"{opened.name}: all is well.")

    terminal.show(document, render)
    if damage:
        raise errors.CorruptWorkspace(
            "expected a workspace without damage",
            where=opened.location,
            got="1 problem" if damage == 1 else f"{damage} problems",
        )


@command(epilog=examples("calotype workspace gc", "calotype workspace gc --all"))
@workspace_option
@click.option(
    "--all",
    "is_all",
    is_flag=True,
    help="Also what is younger than an hour; nothing may be registered at the same time.",
)
def gc(terminal: Terminal, is_all: bool) -> None:
    """Delete files that no dataset, model or service needs, and what deleted services left.

    Also environments of scripts that nothing uses. `calotype workspace check` says beforehand what
    would go.
    """
    from calotype.workspace.garbage import SPARED_S, collect

    document = asdict(collect(current_workspace(), older_than_s=0 if is_all else SPARED_S))
    terminal.show(document, lambda console: facts(console, list(document.items())))


def with_closing(opened: Workspace) -> None:
    """Close a workspace when this call of the program ends."""
    click.get_current_context().find_root().call_on_close(opened.close)


def _document(opened: Workspace) -> dict[str, Any]:
    return {
        "name": opened.name,
        "location": opened.location,
        "database": opened.database.shown,
        "artifacts": opened.place.shown_artifacts,
        "revision": opened.database.revision,
    }


def _rows(document: dict[str, Any]) -> list[tuple[str, object]]:
    shown = {"revision": "schema"}  # services have revisions too
    return [(shown.get(name, name.replace("_", " ")), value) for name, value in document.items()]


for _command in (create, show, check, gc):
    workspace.add_command(_command)
