"""`calotype transformation`: Init and Apply Image Transformation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from calotype.cli.options import PATH, parameter_options
from calotype.cli.terminal import Terminal, command, examples, facts
from calotype.images.transformation import Mode, Transformation


@click.group()
def transformation() -> None:
    """Describe image transformations and attach them to image directories."""


@command(
    epilog=examples(
        "calotype transformation init t",
        "calotype transformation init t --size 180 --crop-size 160 --random-vertical-flip",
    )
)
@click.argument("out", type=PATH)
@parameter_options(Transformation)
def init(terminal: Terminal, out: Path, **values: Any) -> None:
    """Write the image transformation OUT.

    Nothing is transformed: the steps are stored, in their fixed order, for `apply` and `train`.
    """
    made = Transformation.of(values)
    made.save(out)
    terminal.show(
        {"path": str(out), "transformation": made.model_dump()},
        lambda console: facts(console, [("transformation", out), *_steps(made)]),
    )


@command(
    epilog=examples(
        "calotype transformation apply t images images-to-train --mode training",
        "calotype transformation apply t images images-to-score --mode inference",
    )
)
@click.argument("transformation", type=PATH)
@click.argument("directory", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--mode",
    type=click.Choice(["training", "inference"]),
    required=True,
    help="training applies every step; inference drops the random ones, colour jitter included.",
)
def apply(terminal: Terminal, transformation: Path, directory: Path, out: Path, mode: Mode) -> None:
    """Attach a TRANSFORMATION to the image DIRECTORY and write the result to OUT.

    No pixel is touched: training draws the random steps anew for every image and epoch, and
    scoring applies the others while it decodes.
    """
    from calotype.images.image_directory import ImageDirectory

    loaded = Transformation.load(transformation)
    applied = ImageDirectory.load(directory).with_pending(loaded, mode, out)
    terminal.show(
        {"path": str(out), "mode": mode, "images": len(applied)},
        lambda console: facts(
            console,
            [("image directory", out), ("images", f"{len(applied):,}"), ("mode", mode)]
            + [step for step in _steps(loaded) if step[0] == mode],
        ),
    )


def _steps(made: Transformation) -> list[tuple[str, object]]:
    kept = made.deterministic()
    on = [name for name, value in made if value is True]
    both = {"training": on, "inference": [name for name in on if getattr(kept, name)]}
    return [
        (mode, ", ".join(name.replace("_", " ") for name in names) or "nothing")
        for mode, names in both.items()
    ]


transformation.add_command(init)
transformation.add_command(apply)
