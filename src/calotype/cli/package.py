"""`calotype model package`: a folder with a Dockerfile that serves models."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from calotype.cli.deploy_options import inference_options
from calotype.cli.inference import are_paths, inference_of, models_of
from calotype.cli.options import PATH
from calotype.cli.terminal import Terminal, command, examples, facts
from calotype.cli.workspace_option import current_workspace, workspace_option

if TYPE_CHECKING:
    from rich.console import Console


@command(
    epilog=examples(
        "calotype model package -m flowers --out package",
        "calotype model package -m ridge:2 --entry-script score.py --out package",
        "docker build -t flowers package && docker run -p 5001:5001 flowers",
    )
)
@workspace_option
@inference_options
@click.option("--out", required=True, type=PATH, help="The folder to write; new or empty.")
@click.option("--name", default="", help="Of the service.  [default: made of the model's]")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes that run an entry script.",
)
@click.option("--allow-pickle", is_flag=True, help="Load .joblib and .pkl, which may run any code.")
@click.option(
    "--wheel",
    "wheels",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A wheel that is in no index; repeatable. Calotype's own is made when it runs from "
    "source.",
)
def package(
    terminal: Terminal,
    models: tuple[str, ...],
    inference_file: Path | None,
    entry_script: str | None,
    source_directory: Path | None,
    environment: str | None,
    out: Path,
    name: str,
    workers: int,
    allow_pickle: bool,
    wheels: tuple[Path, ...],
) -> None:
    """Write a folder that serves models without this workspace and this machine.

    It has a Dockerfile, the requirements, the models and the source; docker is not needed to make
    it.
    """
    from calotype.webservice import package_files
    from calotype.webservice.packaging import write_package
    from calotype.workspace.service_settings import Inference

    workspace = current_workspace(make=are_paths(models))
    inference = inference_of(
        terminal,
        workspace,
        inference_file=inference_file,
        entry_script=entry_script,
        source_directory=source_directory,
        environment=environment,
        is_local=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        content = write_package(
            workspace,
            models_of(terminal, workspace, models),
            inference or Inference(),
            out,
            name=name,
            workers=workers,
            allow_pickle=allow_pickle,
            wheels=(*wheels, *_own_wheel(terminal, wheels, Path(folder))),
        )
    for note in package_files.notes(content.environment):
        terminal.progress.say(f"note: {note}")
    carried = sorted(path.name for path in (out / package_files.WHEELS).glob("*.whl"))
    document = {
        "path": str(out),
        "name": content.name,
        "models": list(content.models),
        "command": content.command,
        "files": sorted(path.name for path in out.iterdir()),
        "wheels": carried,
    }

    def render(console: Console) -> None:
        rows: list[tuple[str, object]] = [
            ("package", out),
            ("models", ", ".join(content.models) or "none"),
            ("files", ", ".join(document["files"])),
            *([("wheels", ", ".join(carried))] if carried else []),
            ("build it with", f"docker build -t {content.name} {out}"),
            ("run it with", package_files.run_command(content)),
        ]
        facts(console, rows)

    terminal.show(document, render)


def _own_wheel(terminal: Terminal, given: tuple[Path, ...], folder: Path) -> list[Path]:
    """Return a wheel of this Calotype, unless an index has it or one was given."""
    from calotype.webservice import own_wheel

    if own_wheel.is_among(given) or own_wheel.is_from_index():
        return []
    made = own_wheel.write(folder)
    if made is None:
        terminal.progress.say(
            "note: this Calotype was not installed from an index, where `docker build` will look "
            "for it: give its wheel with --wheel FILE (`pip wheel --no-deps` makes one)."
        )
        return []
    terminal.progress.say(
        f"note: this Calotype was not installed from an index: its wheel, {made.name}, goes into "
        "the package."
    )
    return [made]
