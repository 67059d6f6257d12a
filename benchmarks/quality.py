"""How good the trained models are, on public images, beside what was published.

    python benchmarks/quality.py fashion-mnist [--minutes 60] [--images N] [--epochs 30]
    python benchmarks/quality.py elpv [--seeds 1,2,3]
    python benchmarks/quality.py classic [--data elpv,digits] [--seeds 1,2,3]

Each prints a table, as Markdown with --markdown, and writes a JSON file with everything that was
measured. Any parameter of the training can be given: --set mixup=0.2.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import quality_data
import quality_trials
from calotype.demo import steps as demo
from calotype.evaluation import evaluate
from calotype.evaluation.intervals import Estimate
from calotype.images.transformation import Transformation
from calotype.training.parameters import Network
from quality_data import CACHE, Sets
from quality_trials import Trial

Document = dict[str, Any]
TableRow = Sequence[str]

FASHION_PUBLISHED = {
    "2 convolutions, pooling": 0.876,
    "2 convolutions, pooling, batch norm": 0.934,
    "ResNet-18": 0.949,
    "wide ResNet": 0.959,
}
"""From the README of the set, which its package contains."""

MOST_EPOCHS = 200  # of a run that its time limit ends


def fashion_mnist(options: argparse.Namespace) -> Document:
    """ResNet-18 from scratch in a fixed time."""
    sets = quality_data.fashion_mnist(images=options.images)
    parameters = {
        "epochs": options.epochs,
        "patience": options.epochs,
        "batch_size": 128,
        "learning_rate": 0.05,
        "max_minutes": options.minutes,
        **options.set,
    }
    side, name = options.side, options.architecture or "resnet18"
    trial = quality_trials.run(
        sets,
        Network(name, pretrained="none"),
        Transformation(size=side, crop_size=side),
        parameters,
        _fresh(CACHE / "trials" / "fashion-mnist"),
    )
    rows: list[TableRow] = [
        (f"published: {published}", f"{accuracy:.1%}", "", "")
        for published, accuracy in FASHION_PUBLISHED.items()
    ]
    rows.append(
        (
            f"{name}, {len(sets.training):,} images of {side} pixels, {len(trial.epochs)} epochs",
            *_said(trial.accuracy),
            f"{trial.train_s / 60:.1f}",
        )
    )
    _print(
        ["Fashion-MNIST, 10,000 test images", "accuracy", "95 % interval", "minutes"], rows, options
    )
    _print_curve(trial, options)
    return {
        "published": FASHION_PUBLISHED,
        "side": side,
        "parameters": parameters,
        **trial.document,
    }


def elpv(options: argparse.Namespace) -> Document:
    """The demo's recipe on solar cells, a split for each seed."""
    trials: list[Trial] = []
    for seed in options.seeds:
        trials.append(
            quality_trials.run(
                quality_data.elpv(seed, images=options.images),
                Network(options.architecture or demo.ARCHITECTURE),
                demo.TRANSFORMATION,
                {**demo.TRAINING, "random_seed": seed, **options.set},
                _fresh(CACHE / "trials" / f"elpv {seed}"),
            )
        )
    rows: list[TableRow] = [
        (
            f"seed {seed}",
            *_said(trial.accuracy),
            f"{trial.train_s / 60:.1f}",
            f"{trial.ece[0]:.4f}",
            f"{trial.ece[1]:.4f}",
        )
        for seed, trial in zip(options.seeds, trials, strict=True)
    ]
    values = [trial.accuracy.value for trial in trials]
    mean = statistics.mean(values)
    errors_before, errors_after = zip(*(trial.ece for trial in trials), strict=True)
    minutes = statistics.mean(trial.train_s for trial in trials) / 60
    rows.append(
        (
            "mean",
            f"{mean:.2%}",
            f"{min(values):.2%} to {max(values):.2%} of the splits",
            f"{minutes:.1f}",
            f"{statistics.mean(errors_before):.4f}",
            f"{statistics.mean(errors_after):.4f}",
        )
    )
    rows.append(("published", f"{demo.PUBLISHED_ACCURACY:.2%}", "", "", "", ""))
    heads = ["ELPV, a quarter held out", "accuracy", "95 % interval", "minutes"]
    _print([*heads, "ECE before", "ECE after"], rows, options)
    return {
        "published": demo.PUBLISHED_ACCURACY,
        "mean_accuracy": mean,
        "trials": dict(zip(map(str, options.seeds), (one.document for one in trials), strict=True)),
    }


def classic(options: argparse.Namespace) -> Document:
    """Ours against the retired module's recipe, with the time that it took."""
    document: Document = {}
    rows: list[TableRow] = []
    for name in options.data.split(","):
        compared = [
            _against_classic(name, *DATA[name], seed=seed, options=options)
            for seed in options.seeds
        ]
        document[name] = dict(zip(map(str, options.seeds), compared, strict=True))
        rows += [row for one in compared for row in one.pop("rows")]
        gains = [one["difference"]["value"] for one in compared]
        rows.append((f"{name}, mean", "", "", "", f"{statistics.mean(gains):+.2%}", ""))
    heads = ["data", "recipe", "accuracy", "seconds", "difference", "95 % interval"]
    _print(heads, rows, options)
    return document


def _against_classic(
    name: str,
    load: Callable[..., Sets],
    transformation: Transformation,
    *,
    seed: int,
    options: argparse.Namespace,
) -> Document:
    sets = load(seed, images=options.images)
    network = Network(options.architecture or demo.ARCHITECTURE)
    folder = _fresh(CACHE / "trials" / f"classic {name} {seed}")

    def trial(recipe: str, parameters: Mapping[str, Any]) -> Trial:
        full = {"recipe": recipe, "random_seed": seed, **parameters}
        return quality_trials.run(sets, network, transformation, full, folder / recipe)

    old = trial("classic", {})
    epochs = {"epochs": options.epochs, "patience": options.epochs}
    new = trial("default", {**epochs, "max_minutes": old.fit_s / 60, **options.set})
    compared = evaluate(old.scored, new.scored, out=folder / "comparison").comparison
    assert compared is not None
    difference = compared.differences["overall_accuracy"]
    interval = f"{difference.low:+.2%} to {difference.high:+.2%}"
    rows: list[TableRow] = [
        (
            f"{name}, seed {seed}",
            "classic",
            f"{old.accuracy.value:.2%}",
            f"{old.fit_s:.0f}",
            "",
            "",
        ),
        (
            f"{name}, seed {seed}",
            "default",
            f"{new.accuracy.value:.2%}",
            f"{new.fit_s:.0f}",
            f"{difference.value:+.2%}",
            interval,
        ),
    ]
    return {
        "rows": rows,
        "difference": vars(difference),
        "classic": old.document,
        "default": new.document,
    }


DATA: dict[str, tuple[Callable[..., Sets], Transformation]] = {
    "elpv": (quality_data.elpv, demo.TRANSFORMATION),
    "digits": (
        quality_data.digits,
        Transformation(size=64, crop_size=64, random_horizontal_flip=False),
    ),
}


# --- what is printed and written -----------------------------------------------------------------


def _said(estimate: Estimate) -> tuple[str, str]:
    return f"{estimate.value:.2%}", f"{estimate.low:.2%} to {estimate.high:.2%}"


def _print_curve(trial: Trial, options: argparse.Namespace) -> None:
    seconds, rows = 0.0, list[TableRow]()
    for row in trial.epochs:
        seconds += row["elapsed_s"]
        rows.append(
            (
                f"{row['epoch']:.0f}" + (" (kept)" if row["epoch"] == trial.kept else ""),
                f"{seconds / 60:.1f}",
                f"{row['train_loss']:.4f}",
                f"{row['validation_loss']:.4f}",
                f"{row['top_1_accuracy']:.2%}",
            )
        )
    _print(["epoch", "minutes", "train loss", "validation loss", "validation"], rows, options)


def _print(heads: Sequence[str], rows: Sequence[TableRow], options: argparse.Namespace) -> None:
    if options.markdown:
        print("\n| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
        print("\n".join("| " + " | ".join(row) + " |" for row in rows))
        return
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    print()
    for row in (heads, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


def _finite(value: Any) -> Any:
    """Return a document as JSON can say it: what is not finite becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return name, value


def _seeds(text: str) -> list[int]:
    return [int(seed) for seed in text.split(",")]


PROGRAMS = {"fashion-mnist": fashion_mnist, "elpv": elpv, "classic": classic}


def main() -> None:
    """Run one of the programs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("--seeds", type=_seeds, default=[1, 2, 3], help="elpv and classic")
    parser.add_argument("--data", default=",".join(DATA), help="classic: which sets")
    parser.add_argument("--images", type=int, help="take only so many for training")
    parser.add_argument("--epochs", type=int, help="most epochs; not for elpv")
    parser.add_argument("--minutes", type=float, default=60.0, help="fashion-mnist: for training")
    parser.add_argument("--side", type=int, default=32, help="fashion-mnist: of the input, pixels")
    parser.add_argument("--architecture", help="another network")
    parser.add_argument("--set", type=_setting, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--markdown", action="store_true", help="tables for the documentation")
    parser.add_argument("--json", type=Path, help="the file to write")
    options = parser.parse_args()
    options.set = dict(options.set)
    options.epochs = options.epochs or (30 if options.program == "fashion-mnist" else MOST_EPOCHS)
    document = PROGRAMS[options.program](options)
    out: Path = options.json or CACHE / f"{options.program}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(_finite(document), indent=2), encoding="utf-8")
    print(f"\neverything that was measured: {out}")


if __name__ == "__main__":
    main()
