"""`calotype model register`, `list`, `show`, `download`, `update`, `delete`: of the workspace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from calotype import errors
from calotype.cli.completion import complete_models
from calotype.cli.options import PATH
from calotype.cli.pairs import filter_option, pairs_option
from calotype.cli.references import ready_model
from calotype.cli.terminal import Terminal, command, examples, facts, moment, table
from calotype.cli.workspace_option import current_workspace, workspace_option

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.workspace.registered_model import RegisteredModel

Decorated = Callable[..., None]


def _named(function: Decorated) -> Decorated:
    """Add MODEL, which `-n` may name too, as those of the retired program did."""
    function = click.option(
        "-n",
        "--name",
        "-i",
        "--model-id",
        "name",
        metavar="NAME[:VERSION]",
        help="The same.",
        shell_complete=complete_models,
    )(function)
    return click.argument(
        "model", metavar="NAME[:VERSION]", required=False, shell_complete=complete_models
    )(function)


def _find(model: str | None, name: str | None) -> RegisteredModel:
    if (model is None) == (name is None):
        raise click.UsageError("Give NAME or NAME:VERSION, once.")
    return current_workspace().models.find(model or name or "")


@command(
    epilog=examples(
        "calotype model register -n flowers -p MODEL --tag area=plants",
        "calotype model register -n ridge -p ridge.onnx --description 'Diabetes progression'",
        "calotype model register -n mnist -p outputs/mnist.pkl --model-framework ScikitLearn",
    )
)
@click.option("-n", "--name", required=True, help="A new one, or one that gets another version.")
@click.option(
    "-p",
    "--path",
    "--model-path",
    "--asset-path",
    "path",
    required=True,
    type=PATH,
    help="An image model ('imagenet', too), an .onnx file, or any other file or folder.",
)
@pairs_option("--tag", help="May be changed later; may be given several times.")
@pairs_option("--property", help="Stays for ever; may be given several times.")
@click.option("--description", "-d", default="", help="For people.")
@click.option("--model-framework", "--mf", "framework", help="[default: guessed from the files]")
@click.option(
    "--model-framework-version", "--mfv", "framework_version", help="Such as 1.5.2 of ScikitLearn."
)
@click.option("--run-id", help="The run that made it.")
@click.option(
    "--output-metadata-file",
    "--omf",
    type=PATH,
    help="Write a JSON file that `model deploy --model-metadata-file` reads.",
)
@workspace_option
def register(
    terminal: Terminal,
    name: str,
    path: Path,
    tag: dict[str, str],
    property: dict[str, str],
    description: str,
    framework: str | None,
    framework_version: str | None,
    run_id: str | None,
    output_metadata_file: Path | None,
) -> None:
    """Store a model in the workspace as the next version of a name."""
    workspace = current_workspace(make=True)
    made = workspace.models.register(
        ready_model(path),
        name,
        tags=tag,
        properties=property,
        description=description,
        framework=framework,
        framework_version=framework_version,
        run_id=run_id,
    )
    if output_metadata_file is not None:
        from calotype import files

        metadata = {"modelId": made.id, "workspaceName": workspace.name, **made.to_document()}
        files.write_json(output_metadata_file, metadata)
    terminal.show(made.to_document(), lambda console: _render(console, made))


@command(
    name="list",
    epilog=examples(
        "calotype model list",
        "calotype model list --latest --tag area=plants",
        "calotype -o json model list -n flowers | jq '.[0].id'",
    ),
)
@click.option("-n", "--name", shell_complete=complete_models, help="Only of this name.")
@filter_option("--tag", help="Only those with this tag.")
@filter_option("--property", help="Only those with this property.")
@click.option("--run-id", help="Only those that this run made.")
@click.option("--model-framework", "framework", help="Only those of this framework.")
@click.option("-l", "--latest", is_flag=True, help="Of each name the newest version only.")
@workspace_option
def list_(
    terminal: Terminal,
    name: str | None,
    tag: Sequence[Sequence[str]],
    property: Sequence[Sequence[str]],
    run_id: str | None,
    framework: str | None,
    latest: bool,
) -> None:
    """List the registered models, of each name the newest version first."""
    found = current_workspace().models.list(
        name, tag, property, run_id, latest=latest, framework=framework
    )
    terminal.show([one.to_document() for one in found], lambda console: _list(console, found))


@command(epilog=examples("calotype model show flowers", "calotype model show -n flowers:2"))
@_named
@workspace_option
def show(terminal: Terminal, model: str | None, name: str | None) -> None:
    """Show a registered model: the newest version, or the one that is named."""
    found = _find(model, name)
    users = current_workspace().services.users_of(found.id)
    document = {**found.to_document(), "services": users}
    terminal.show(document, lambda console: _render(console, found, users))


@command(
    epilog=examples(
        "calotype model download flowers", "calotype model download -n flowers:2 -t models"
    )
)
@_named
@click.option(
    "-t", "--target-dir", "target", type=PATH, default=".", show_default=True, help="Where to."
)
@click.option("--overwrite", is_flag=True, help="Replace a file or folder of the same name.")
@workspace_option
def download(
    terminal: Terminal, model: str | None, name: str | None, target: Path, overwrite: bool
) -> None:
    """Write a model's files into a folder, as they were registered."""
    found = _find(model, name)
    written = current_workspace().models.download(found, target, exist_ok=overwrite)
    document = {"id": found.id, "path": str(written)}
    rows = [("model", found.id), ("written to", written)]
    terminal.show(document, lambda console: facts(console, rows))


@command(
    epilog=examples(
        "calotype model update flowers --add-tag stage=production --remove-tag stage-note",
        "calotype model update -n flowers:2 --description 'Trained on photographs of 2026'",
    )
)
@_named
@pairs_option("--add-tag", "--tag", "add_tag", help="Add or change a tag.")
@click.option("--remove-tag", multiple=True, metavar="KEY", help="Remove a tag.")
@pairs_option("--add-property", "--property", "add_property", help="Add a property.")
@click.option("--description", "-d", help="Another description.")
@workspace_option
def update(
    terminal: Terminal,
    model: str | None,
    name: str | None,
    add_tag: dict[str, str],
    remove_tag: Sequence[str],
    add_property: dict[str, str],
    description: str | None,
) -> None:
    """Change what is said about a model; its files never change."""
    found = _find(model, name)
    if not (add_tag or remove_tag or add_property) and description is None:
        raise errors.EmptyInput(
            "expected something to change", where=f"update of model '{found.id}'", got="nothing"
        )
    changed = current_workspace().models.update(
        found,
        add_tags=add_tag,
        remove_tags=remove_tag,
        properties=add_property,
        description=description,
    )
    terminal.show(changed.to_document(), lambda console: _render(console, changed))


@command(epilog=examples("calotype model delete flowers:1"))
@_named
@workspace_option
def delete(terminal: Terminal, model: str | None, name: str | None) -> None:
    """Forget a version of a model; refused while a service uses it."""
    found = _find(model, name)
    current_workspace().models.delete(found)
    document = {"id": found.id, "deleted": True}
    terminal.show(document, lambda console: facts(console, [("deleted", found.id)]))


def _render(console: Console, one: RegisteredModel, users: Sequence[str] = ()) -> None:
    from calotype.pages.wording import size

    framework = f"{one.framework} {one.framework_version or ''}".rstrip()
    rows: list[tuple[str, object]] = [
        ("model", one.id),
        ("kind", one.kind),
        ("framework", framework),
        ("size", size(one.bytes)),
        ("registered", f"{moment(one.created_at)} by {one.created_by}"),
        *((f"tag {key}", value) for key, value in one.tags.items()),
        *((f"property {key}", value) for key, value in one.properties.items()),
    ]
    optional = [
        ("description", one.description),
        ("run", one.run_id),
        ("used by", ", ".join(users)),
    ]
    facts(console, [*rows, *((name, value) for name, value in optional if value)])


def _list(console: Console, found: Sequence[RegisteredModel]) -> None:
    from calotype.pages.wording import size

    if not found:
        console.print("None. `calotype model register -n NAME -p PATH` registers one.")
        return
    rows = [
        (one.name, one.version, one.kind, one.framework, size(one.bytes), _tags(one))
        for one in found
    ]
    columns = ["name", "version", "kind", "framework", "size", "tags"]
    table(console, columns, rows, less=("kind", "framework"))


def _tags(one: RegisteredModel) -> str:
    return ", ".join(f"{key}={value}" for key, value in one.tags.items())
