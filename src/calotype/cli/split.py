"""`calotype split`: Split Image Directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calotype.cli.options import PATH
from calotype.cli.references import source_path
from calotype.cli.terminal import Terminal, command, examples, facts, table
from calotype.cli.workspace_option import workspace_option

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.images.image_directory import ImageDirectory

_CATEGORIES_SHOWN = 20


@command(
    epilog=examples(
        "calotype split images train validation",
        "calotype split images train test --fraction 0.8 --seed 7",
    )
)
@click.argument("directory", type=PATH)
@click.argument("out1", type=PATH)
@click.argument("out2", type=PATH)
@click.option(
    "--fraction",
    type=float,
    default=0.9,
    show_default=True,
    help="Part of the images in OUT1, between 0 and 1.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses the images.")
@click.option(
    "--stratify/--no-stratify",
    default=True,
    show_default=True,
    help="Keep the proportions of the categories.",
)
@workspace_option
def split(
    terminal: Terminal,
    directory: Path,
    out1: Path,
    out2: Path,
    fraction: float,
    seed: int,
    stratify: bool,
) -> None:
    """Split the image DIRECTORY at random into OUT1 and OUT2.

    DIRECTORY is a folder, or [dataset:]NAME[:VERSION] of one in the workspace.

    No image is copied. The same seed gives the same split everywhere.
    """
    from calotype.images.image_directory import ImageDirectory
    from calotype.images.split import split as run_split

    both = run_split(
        ImageDirectory.load(source_path(directory, terminal)),
        out1,
        out2,
        fraction=fraction,
        seed=seed,
        stratify=stratify,
        progress=terminal.progress,
    )
    document = {
        "fraction": fraction,
        "seed": seed,
        "outputs": [_output(out, made) for out, made in zip((out1, out2), both, strict=True)],
    }
    terminal.show(document, lambda console: _render(console, (out1, out2), both))


def _output(out: Path, made: ImageDirectory) -> dict[str, Any]:
    return {"path": str(out), "images": len(made), "categories": made.info.counts.categories}


def _render(
    console: Console, outs: tuple[Path, Path], both: tuple[ImageDirectory, ImageDirectory]
) -> None:
    facts(
        console,
        [
            (f"output {n}", f"{out} ({len(made):,} images)")
            for n, out, made in zip((1, 2), outs, both, strict=True)
        ],
    )
    first, second = (made.info.counts.categories for made in both)
    if not first:
        return
    rows = [(name, first[name], second[name]) for name in first]
    table(console, ["category", "output 1", "output 2"], rows[:_CATEGORIES_SHOWN])
    if len(rows) > _CATEGORIES_SHOWN:
        console.print(f"… {len(rows) - _CATEGORIES_SHOWN:,} more")
