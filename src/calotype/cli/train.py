"""`calotype train`: ResNet, DenseNet and others, and Train PyTorch Model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calotype.cli.options import parameter_options
from calotype.cli.references import announce, register_option, source_path
from calotype.cli.terminal import Terminal, command, examples, facts, table
from calotype.cli.workspace_option import current_workspace, workspace_option
from calotype.training.parameters import Network, TrainingParameters

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.models.image_model import ImageModel


@command(
    epilog=examples(
        "calotype train --train images1 --validation images2 --out MODEL",
        "calotype train --train images1 --validation images2 --out MODEL "
        "--architecture efficientnet_lite0",
        "calotype train --train images1 --validation images2 --out MODEL --pretrained resnet18.pth",
        "calotype train --train images1 --validation images2 --out MODEL --max-minutes 30 "
        "--epochs 100",
        "calotype train --train images1 --validation images2 --out MODEL --resume",
        "calotype train --train dataset:train --validation dataset:validation --out MODEL "
        "--register flowers",
    )
)
@click.option(
    "--train",
    "training",
    required=True,
    type=click.Path(path_type=Path),
    help="Labelled images, or [dataset:]NAME[:VERSION] of the workspace.",
)
@click.option(
    "--validation", required=True, type=click.Path(path_type=Path), help="To choose the best epoch."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The model to write.")
@click.option(
    "--architecture",
    default="resnet18",
    show_default=True,
    help="A ResNet, a DenseNet, efficientnet_lite0 or any other network of timm.",
)
@click.option(
    "--pretrained",
    default="auto",
    show_default=True,
    help="Weights to start from: a file or folder, 'auto' (used when found) or 'none'.",
)
@click.option(
    "--transformation",
    type=click.Path(path_type=Path),
    help="What is done to the images.  [default: what was applied to them]",
)
@click.option(
    "--processes",
    type=int,
    default=1,
    show_default=True,
    help="Processes that share each batch.",
)
@click.option("--resume", is_flag=True, help="Go on with a run that was interrupted or killed.")
@register_option("the model")
@workspace_option
@parameter_options(TrainingParameters, names={"random_seed": "seed"})
def train(
    terminal: Terminal,
    training: Path,
    validation: Path,
    out: Path,
    architecture: str,
    pretrained: str,
    transformation: Path | None,
    processes: int,
    resume: bool,
    register: str | None,
    **parameters: Any,
) -> None:
    """Train an image model.

    The epoch with the lowest validation loss is kept, and the transformation becomes part of the
    model. After Ctrl-C the best model so far is written. Until the end, the state of the run, a
    table and a page of its epochs lie in OUT.training; --resume goes on from there.
    """
    from calotype.images.image_directory import ImageDirectory
    from calotype.images.transformation import Transformation
    from calotype.models.architectures import require_torch
    from calotype.scoring.finish import finish

    require_torch()
    from calotype.training.outcome import Listeners
    from calotype.training.train import train as run_training

    checked = TrainingParameters.of(parameters)
    models = current_workspace(make=True).models if register else None
    learn_from, check_with = source_path(training, terminal), source_path(validation, terminal)
    weights = pretrained if pretrained in ("auto", "none") else Path(pretrained)
    with (
        ImageDirectory.open(learn_from, progress=terminal.progress) as learn,
        ImageDirectory.open(check_with, progress=terminal.progress) as check,
    ):
        trained = run_training(
            Network(architecture=architecture, pretrained=weights),
            learn,
            check,
            out,
            transformation=Transformation.load(transformation) if transformation else None,
            parameters=checked,
            processes=processes,
            resume=resume,
            listeners=Listeners(terminal.progress),
        )
        trained = finish(trained, check, progress=terminal.progress)
    is_interrupted = trained.description.training["stopped"] == "interrupt"
    document = {"path": str(trained.path), **trained.description.model_dump(mode="json")}
    if register and models is not None and not is_interrupted:
        document |= announce(terminal, models.register(trained.path, register))
    terminal.show(document, lambda console: _render(console, trained))
    if is_interrupted:
        raise KeyboardInterrupt  # the model is there; --resume makes the rest of it


def _render(console: Console, trained: ImageModel) -> None:
    epochs = trained.description.training["epoch_metrics"]
    rows: list[tuple[object, ...]] = [
        (
            row["epoch"],
            row["train_loss"],
            row["validation_loss"],
            row["top_1_accuracy"],
            row["top_5_accuracy"],
            round(row["train_images_per_s"]),
            "kept" if row["epoch"] == trained.metrics["best_epoch"] else "",
        )
        for row in epochs
    ]
    columns = ["epoch", "loss", "validation loss", "top-1", "top-5", "images/s", ""]
    table(console, columns, rows)
    facts(
        console,
        [
            ("model", trained.path),
            ("architecture", trained.description.architecture.name),
            ("started from", trained.description.training["pretrained"] or "random weights"),
            ("accuracy", f"{trained.metrics['top_1_accuracy']:.2%} of the validation images"),
        ],
    )
