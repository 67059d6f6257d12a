"""`calotype model`: import, inspect and optimise image models; others are in other files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from calotype.cli.main import LazyGroup
from calotype.cli.references import announce, model_path, registered_model, source_path
from calotype.cli.terminal import Terminal, command, examples, facts, moment, table
from calotype.cli.workspace_option import current_workspace, workspace_option

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.models.image_model import ImageModel

_SHOWN = 12


@click.command(
    cls=LazyGroup,
    homes={
        "import": ("model:import_", "Make an image model of a network that was trained elsewhere."),
        "inspect": ("model:inspect", "Show what an image model is."),
        "optimize": ("model:optimize", "Add an int8 version to an image model."),
        "register": ("registered_model:register", "Store a model in the workspace."),
        "list": ("registered_model:list_", "List the registered models."),
        "show": ("registered_model:show", "Show a registered model."),
        "download": ("registered_model:download", "Write a registered model's files."),
        "update": ("registered_model:update", "Change tags, properties or the description."),
        "deploy": ("deploy:deploy", "Make a service of models, which goes on running."),
        "package": ("package:package", "Write a folder with a Dockerfile that serves models."),
        "profile": ("profile:profile", "Measure what a service of models needs."),
        "delete": ("registered_model:delete", "Forget a version of a model."),
    },
)
def model() -> None:
    """Import, inspect and optimise models, and keep them in the workspace."""


@command(
    name="import",
    epilog=examples(
        "calotype model import net.onnx --classes labels.txt --out MODEL",
        "calotype model import resnet18.pth --architecture resnet18 --classes labels.txt "
        "--out MODEL",
        "calotype model import net.onnx --classes labels.txt --mean 0.5 0.5 0.5 "
        "--std 0.5 0.5 0.5 --out MODEL",
        "calotype model import trained_model_outputs --out MODEL",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--classes",
    type=click.Path(path_type=Path),
    help="Class names in index order, one a line or as a JSON list; a folder has its own.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The model to write.")
@click.option("--architecture", help="The network of a state dictionary, such as resnet18.")
@click.option("--resize", type=int, help="Shorter side before the crop.  [default: input x 8/7]")
@click.option("--input-size", type=(int, int), help="Height and width, where the file is open.")
@click.option(
    "--mean", type=(float, float, float), help="Per channel, RGB, 0-1.  [default: ImageNet's]"
)
@click.option(
    "--std", type=(float, float, float), help="Per channel, RGB, 0-1.  [default: ImageNet's]"
)
@click.option(
    "--channel-order", type=click.Choice(["RGB", "BGR"]), default="RGB", show_default=True
)
@click.option(
    "--network-output",
    type=click.Choice(["logits", "probabilities"]),
    help="What the network gives.  [default: found out]",
)
def import_(
    terminal: Terminal,
    file: Path,
    classes: Path | None,
    out: Path,
    network_output: Literal["logits", "probabilities"] | None,
    **options: Any,
) -> None:
    """Make an image model of a weights FILE (.onnx, .safetensors, .pth or .pt).

    FILE may also be the folder of a model that the retired designer trained.
    """
    from calotype.models.image_model import read_classes
    from calotype.models.importing import ImportOptions, import_model

    if classes is None and not file.is_dir():
        raise click.UsageError("Missing option '--classes'.")
    imported = import_model(
        file,
        None if classes is None else read_classes(classes),
        out,
        options=ImportOptions(output=network_output, **options),
        progress=terminal.progress,
    )
    _show(terminal, imported)


@command(epilog=examples("calotype model inspect MODEL", "calotype model inspect imagenet"))
@click.argument("model")
@workspace_option
def inspect(terminal: Terminal, model: str) -> None:
    """Check every file of MODEL against its digest and say what the model is.

    MODEL is an image model, or NAME[:VERSION] of one in the workspace.
    """
    from calotype.models.image_model import ImageModel

    loaded = ImageModel.load(model_path(model))
    loaded.verify()
    _show(terminal, loaded)


@command(
    epilog=examples(
        "calotype model optimize MODEL --precision int8 --calibration validation",
        "calotype model optimize flowers --calibration dataset:flowers-validation",
    )
)
@click.argument("model")
@click.option(
    "--precision", type=click.Choice(["int8"]), default="int8", show_default=True, help="To add."
)
@click.option(
    "--calibration",
    required=True,
    type=click.Path(path_type=Path),
    help="Images like those to score; labelled ones let the accuracy be measured.",
)
@click.option(
    "--max-accuracy-drop",
    type=float,
    default=0.005,
    show_default=True,
    help="The most accuracy that may be lost, 0-1.",
)
@workspace_option
def optimize(
    terminal: Terminal, model: str, precision: str, calibration: Path, max_accuracy_drop: float
) -> None:
    """Add an int8 version to MODEL, measured against fp32 and refused when it is not worth it.

    Where it loses too much, up to half of the layers stay in fp32, the most sensitive ones first.
    A model folder is changed in place; of NAME[:VERSION] in the workspace, a new version is
    registered.
    """
    from calotype.models.image_model import ImageModel

    images = source_path(calibration, terminal)

    def add(loaded: ImageModel) -> ImageModel:
        return _optimized(terminal, loaded, images, max_accuracy_drop)

    found = None if Path(model).exists() else registered_model(model)
    if found is None:
        _show(terminal, add(ImageModel.load(model)))
        return
    with tempfile.TemporaryDirectory(prefix="calotype-") as folder:
        models = current_workspace().models
        copy = models.copy_of_image_model(found, Path(folder))
        optimized = add(ImageModel.load(copy))
        registered = models.register(
            optimized.path,
            found.name,
            tags=found.tags,
            properties={**found.properties, "optimized_from": found.id},
            description=found.description,
            run_id=found.run_id,
        )
        _show(terminal, optimized, **announce(terminal, registered))


def _optimized(
    terminal: Terminal, loaded: ImageModel, images: Path, max_accuracy_drop: float
) -> ImageModel:
    from calotype.images.image_directory import ImageDirectory
    from calotype.scoring.optimize import add_int8, add_measurements

    with ImageDirectory.open(images, progress=terminal.progress) as directory:
        optimized = add_int8(
            loaded, directory, max_accuracy_drop=max_accuracy_drop, progress=terminal.progress
        )
        return add_measurements(optimized, directory)


def _show(terminal: Terminal, loaded: ImageModel, **more: Any) -> None:
    document = {
        **more,
        "path": str(loaded.path),
        "digest": loaded.digest,
        **loaded.description.model_dump(mode="json"),
    }
    terminal.show(document, lambda console: _render(console, loaded))


def _render(console: Console, loaded: ImageModel) -> None:
    description = loaded.description
    shown = ", ".join(loaded.classes[:_SHOWN])
    more = f", … {len(loaded.classes) - _SHOWN:,} more" if len(loaded.classes) > _SHOWN else ""
    mean, std = loaded.preprocessing.mean, loaded.preprocessing.std
    rows: list[tuple[str, object]] = [
        ("model", loaded.path),
        ("architecture", description.architecture.name),
        ("classes", f"{len(loaded.classes):,}: {shown}{more}"),
        ("input", f"{loaded.input_size[0]} x {loaded.input_size[1]} pixels"),
        ("resize to", loaded.preprocessing.resize or "the input"),
        ("mean", " ".join(f"{value:.3f}" for value in mean)),
        ("std", " ".join(f"{value:.3f}" for value in std)),
        *((name.replace("_", " "), _number(value)) for name, value in loaded.metrics.items()),
        ("files", ", ".join(sorted(description.files))),
        ("created", description.created and moment(description.created)),
        ("digest", loaded.digest),
    ]
    facts(console, rows)
    if description.precisions:
        measured = [
            (name, one.label_agreement, one.accuracy or "", one.images_per_s or "", one.images)
            for name, one in description.precisions.items()
        ]
        columns = ["precision", "labels as in fp32", "accuracy", "images/s", "images"]
        table(console, columns, measured)
        for name, one in description.precisions.items():
            if one.kept_layers:
                kept = ", ".join(one.kept_layers)
                text = f"{name} keeps {len(one.kept_layers)} of {one.layers} layers in fp32: {kept}"
                console.print(text, style="dim")


def _number(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else value
