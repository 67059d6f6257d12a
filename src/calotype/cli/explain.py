"""`calotype explain`: what a prediction rests on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from calotype.cli.references import model_path
from calotype.cli.terminal import Terminal, command, examples, facts
from calotype.cli.workspace_option import workspace_option

if TYPE_CHECKING:
    from rich.console import Console


@command(
    epilog=examples(
        "calotype explain --model MODEL --image photo.jpg --out heat.png",
        "calotype explain --model imagenet --image cat.jpg --out heat.png --label 'tiger cat'",
    )
)
@click.option(
    "--model",
    required=True,
    help="A model folder, a .calotype or .onnx file of one, NAME[:VERSION] of the workspace, or "
    "'imagenet': 1,000 everyday things.",
)
@click.option("--image", required=True, type=click.Path(path_type=Path), help="One image file.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The picture to write, a PNG."
)
@click.option("--label", help="The class to explain.  [default: the most probable one]")
@click.option(
    "--method",
    type=click.Choice(["auto", "activation", "occlusion"]),
    default="auto",
    show_default=True,
    help="activation reads the network's last feature map; occlusion hides part after part and "
    "works with any network; auto takes the first where it can.",
)
@workspace_option
def explain(
    terminal: Terminal,
    model: str,
    image: Path,
    out: Path,
    label: str | None,
    method: Literal["auto", "activation", "occlusion"],
) -> None:
    """Show which parts of an image a prediction rests on, as colours on the image."""
    from calotype.scoring.explain import check_target
    from calotype.scoring.scorer import Scorer

    check_target(out)
    found = Scorer(model_path(model), progress=terminal.progress).explain(
        image, label, method=method
    )
    found.save(out)
    document: dict[str, Any] = {
        "path": str(out),
        "label": found.label,
        "probability": found.probability,
        "method": found.method,
    }

    def render(console: Console) -> None:
        facts(
            console,
            [
                ("heat map", out),
                ("label", found.label),
                ("probability", f"{found.probability:.4f}"),
                ("method", found.method),
            ],
        )

    terminal.show(document, render)
