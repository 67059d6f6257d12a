"""`calotype dataset`: register files under a name, and find them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from calotype.cli.completion import complete_datasets
from calotype.cli.options import PATH
from calotype.cli.pairs import filter_option, pairs_option
from calotype.cli.terminal import Terminal, command, examples, facts, moment, table
from calotype.cli.workspace_option import current_workspace, workspace_option

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.workspace.dataset import RegisteredDataset


@click.group()
def dataset() -> None:
    """Register files under a name, and find them again."""


@command(
    epilog=examples(
        "calotype dataset register flowers photos/",
        "calotype dataset register flowers photos.zip --tag licence=CC-BY --copy",
        "calotype dataset register roses 'photos/**/rose*.jpg' --description 'Roses only'",
        "calotype dataset register flowers https://example.org/flowers.tar.gz",
    )
)
@click.argument("name")
@click.argument("source")
@pairs_option("--tag", help="May be given several times.")
@click.option("--description", default="", help="For people.")
@click.option("--copy", is_flag=True, help="Store the files in the workspace; SOURCE may go then.")
@click.option("--new-version", is_flag=True, help="Make a version even of the same files.")
@click.option(
    "--max-bytes",
    type=click.IntRange(min=1),
    default=20 << 30,
    show_default="20 GiB",
    help="The most that a URL may give.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=6 * 3600.0,
    show_default="6 hours",
    help="Seconds that fetching a URL may take.",
)
@workspace_option
def register(
    terminal: Terminal,
    name: str,
    source: str,
    tag: dict[str, str],
    description: str,
    copy: bool,
    new_version: bool,
    max_bytes: int,
    timeout_s: float,
) -> None:
    """Register the files of SOURCE as NAME.

    SOURCE is a folder, an archive, a file, a pattern in quotes, or an http(s) URL, whose content is
    fetched into the workspace now and never again. Other files stay where they are. The same files
    once more stay the version that they are.
    """
    from calotype.workspace.web_content import FetchLimits

    made = current_workspace(make=True).datasets.register(
        name,
        source,
        description=description,
        tags=tag,
        copy=copy,
        create_new_version=new_version,
        limits=FetchLimits(max_bytes=max_bytes, total_s=timeout_s),
        progress=terminal.progress,
    )
    terminal.show(made.to_document(), lambda console: _render(console, made))


@command(name="list", epilog=examples("calotype dataset list", "calotype dataset list flowers"))
@click.argument("name", required=False, shell_complete=complete_datasets)
@filter_option("--tag", help="Only those with this tag.")
@click.option("--latest", is_flag=True, help="Of each name the newest version only.")
@workspace_option
def list_(terminal: Terminal, name: str | None, tag: Sequence[Sequence[str]], latest: bool) -> None:
    """List the registered datasets, of each name the newest version first."""
    found = current_workspace().datasets.list(name, tag, latest=latest)
    terminal.show([one.to_document() for one in found], lambda console: _list(console, found))


@command(
    epilog=examples(
        "calotype dataset show flowers", "calotype dataset show flowers:2 --preview flowers.html"
    )
)
@click.argument("name", shell_complete=complete_datasets)
@click.option("--preview", type=PATH, metavar="OUT.html", help="Write a page with small pictures.")
@click.option(
    "--thumbnails",
    type=click.IntRange(min=0, max=100),
    default=8,
    show_default=True,
    help="Pictures of each category on that page.",
)
@workspace_option
def show(terminal: Terminal, name: str, preview: Path | None, thumbnails: int) -> None:
    """Show a dataset: NAME for its newest version, or NAME:VERSION."""
    found = current_workspace().datasets.find(name)
    document = found.to_document()
    if preview is not None:
        page = found.preview(preview, thumbnails=thumbnails, progress=terminal.progress)
        document["preview"] = str(page)
    terminal.show(document, lambda console: _render(console, found, preview))


@command(epilog=examples("calotype dataset download flowers", "calotype dataset download a:1 out"))
@click.argument("name", shell_complete=complete_datasets)
@click.argument("out", type=PATH, default=".")
@click.option("--overwrite", is_flag=True, help="Replace files and folders of the same names.")
@workspace_option
def download(terminal: Terminal, name: str, out: Path, overwrite: bool) -> None:
    """Copy the files of a dataset into the folder OUT, here when it is left out."""
    found = current_workspace().datasets.find(name)
    written = found.download(out, exist_ok=overwrite, progress=terminal.progress)
    document = {"id": found.id, "path": str(written), "files": found.files, "bytes": found.bytes}
    terminal.show(
        document,
        lambda console: facts(
            console, [("dataset", found.id), ("files", f"{found.files:,}"), ("written to", written)]
        ),
    )


@command(epilog=examples("calotype dataset delete flowers:1"))
@click.argument("name", shell_complete=complete_datasets)
@workspace_option
def delete(terminal: Terminal, name: str) -> None:
    """Forget a dataset: NAME for its newest version, or NAME:VERSION. Your own files stay."""
    datasets = current_workspace().datasets
    found = datasets.find(name)
    datasets.delete(found)
    document = {"id": found.id, "deleted": True}
    terminal.show(document, lambda console: facts(console, [("deleted", found.id)]))


def _render(console: Console, one: RegisteredDataset, preview: Path | None = None) -> None:
    from calotype.pages.wording import size

    place = {"reference": "where they were", "copy": "in the workspace", "url": "in the workspace"}
    rows: list[tuple[str, object]] = [
        ("dataset", one.id),
        ("files", f"{one.files:,} ({size(one.bytes)})"),
        ("registered from", one.origin),
        ("files are", place[one.kind]),
        ("registered", f"{moment(one.created_at)} by {one.created_by}"),
        *((f"tag {key}", value) for key, value in one.tags.items()),
    ]
    if one.description:
        rows.append(("description", one.description))
    if preview is not None:
        rows.append(("preview", preview))
    facts(console, rows)


def _list(console: Console, found: Sequence[RegisteredDataset]) -> None:
    from calotype.pages.wording import size

    if not found:
        console.print("None. `calotype dataset register NAME SOURCE` registers one.")
        return
    rows = [
        (one.name, one.version, one.files, size(one.bytes), one.kind, one.origin, _tags(one))
        for one in found
    ]
    columns = ["name", "version", "files", "size", "kind", "from", "tags"]
    table(console, columns, rows, less=("kind", "from", "tags"))


def _tags(one: RegisteredDataset) -> str:
    return ", ".join(f"{key}={value}" for key, value in one.tags.items())


for one in (register, list_, show, download, delete):
    dataset.add_command(one)
