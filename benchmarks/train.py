"""Train PyTorch Model against a plain loop: images/s of the first epoch and of the later ones.

    python benchmarks/train.py [--sizes 500x375,3000x2000] [--images 160] [--epochs 3] [--rounds 3]

The plain loop is what people write: PIL, torchvision's transforms, a DataLoader, a ResNet-18, SGD,
batches of 16 pictures of 224 pixels, channels first, in fp32. Every alternative lives in a process
of its own and trains from the start in each round, in turn with the others; ratios are of the same
round. Before that, both make the same step from the same weights on the same images, and must
find the same loss. `--short` is one small round, to see that everything runs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import photographs
from peers import Peer, answer_rounds

if TYPE_CHECKING:
    from calotype.images.image_directory import ImageDirectory
    from calotype.images.transformation import Transformation

CACHE = Path(tempfile.gettempdir()) / "calotype-benchmarks" / "train"
SIZES = {"500x375": (500, 375), "3000x2000": (3000, 2000)}
CLASSES = 4
BATCH = 16
SIDE = 224
MOST_NORM = 5.0  # of the gradients, in Calotype's loop
TOLERANCE = 1e-4  # of the loss
SMALL_STEP = 3e-4  # a hundredth of the loss; rounding alone moves the gradient by up to 1 %
PLAIN = "plain"


@dataclass(frozen=True)
class Settings:
    """What one alternative does in a round."""

    alternative: str
    precision: str
    workers: int
    folder: Path
    epochs: int
    full_size: bool

    @property
    def name(self) -> str:
        """What the tables call it."""
        workers = f", {self.workers} workers" if self.workers else ""
        return f"{self.alternative} {self.precision}{workers}"

    def words(self) -> list[str]:
        """Return it as words of a command line."""
        return [str(value) for value in vars(self).values()]

    @classmethod
    def of(cls, words: Sequence[str]) -> Settings:
        """Read what `words` has written."""
        alternative, precision, workers, folder, epochs, full_size = words
        return cls(
            alternative, precision, int(workers), Path(folder), int(epochs), full_size == "True"
        )


# --- the alternatives: each prepares itself and returns what one round runs ---------------------


def plain(settings: Settings) -> Callable[[], Sequence[float]]:
    """PIL, torchvision and an eager loop."""
    from torch.utils.data import DataLoader

    import train_baseline

    images = train_baseline.LabeledPhotographs(
        settings.folder / "train", train_baseline.transform_for(SIDE, is_random=True)
    )
    loader = DataLoader(images, batch_size=BATCH, shuffle=True, num_workers=settings.workers)

    def run() -> Sequence[float]:
        network = train_baseline.make_network("resnet18", CLASSES)
        _, rates = train_baseline.train(
            network,
            loader,
            epochs=settings.epochs,
            learning_rate=0.01,
            is_bf16=settings.precision == "bf16",
        )
        return rates

    return run


def calotype(settings: Settings) -> Callable[[], Sequence[float]]:
    """Ours; each round begins with an empty cache of pixels."""
    learn, check = (directory_of(settings.folder / part) for part in ("train", "validation"))
    wanted = transformation(full_size=settings.full_size)

    def run() -> Sequence[float]:
        rows = fit_rows(
            learn,
            check,
            wanted,
            epochs=settings.epochs,
            batch_size=BATCH,
            precision=settings.precision,
        )
        return [row["train_images_per_s"] for row in rows]

    return run


def fit_rows(
    learn: ImageDirectory,
    check: ImageDirectory,
    wanted: Transformation,
    *,
    epochs: int,
    batch_size: int,
    precision: str,
    learning_rate: float = 0.01,
) -> list[dict[str, float]]:
    """Train a ResNet-18 from random weights; return the metrics of its epochs."""
    from calotype.training.parameters import Network, TrainingParameters
    from calotype.training.train import fit

    parameters = TrainingParameters.of(
        {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "patience": epochs,
            "optimizer": "sgd",
            "schedule": "constant",
            "warmup_epochs": 0,
            "label_smoothing": 0.0,
            "precision": precision,
        }
    )
    network = Network("resnet18", pretrained="none")
    fitted = fit(network, learn, check, transformation=wanted, parameters=parameters)
    rows: list[dict[str, float]] = fitted.description.training["epoch_metrics"]
    return rows


def directory_of(folder: Path) -> ImageDirectory:
    """Return the image directory of a folder of class folders."""
    from calotype.images.convert import convert

    return convert(folder, folder.with_name(f"{folder.name} directory"))


def transformation(*, full_size: bool) -> Transformation:
    """Return a random resized crop and a flip, of the images at 256 pixels or as they are."""
    from calotype.images.transformation import Transformation

    return Transformation(
        resize=not full_size,
        center_crop=False,
        random_resized_crop=True,
        random_size=SIDE,
        random_horizontal_flip=True,
    )


ALTERNATIVES = {PLAIN: plain, "calotype": calotype}


def serve_rounds(settings: Settings) -> None:
    """Answer each round with the images/s of the first epoch and of the later ones."""
    run = ALTERNATIVES[settings.alternative](settings)

    def measured() -> dict[str, Any]:
        first, *later = run()
        return {"first": first, "later": statistics.median(later)}

    answer_rounds(measured)


# --- the same mathematics ------------------------------------------------------------------------


def check_mathematics() -> None:
    """Let both make one step from the same weights on the same images; end when losses differ."""
    import torch
    from torch.utils.data import DataLoader

    import train_baseline
    from calotype.images.transformation import Transformation
    from calotype.models import architectures

    folder = make_photographs(CACHE / "same", size=(SIDE, SIDE), images=BATCH, validation=BATCH)
    untouched = Transformation(size=SIDE, crop_size=SIDE, random_horizontal_flip=False)
    learn = directory_of(folder / "train")
    rows = fit_rows(
        learn,
        learn,
        untouched,
        epochs=2,
        batch_size=BATCH,
        precision="fp32",
        learning_rate=SMALL_STEP,
    )
    torch.manual_seed(1)  # the default of ours
    network = architectures.build("resnet18", classes=CLASSES)
    images = train_baseline.LabeledPhotographs(
        folder / "train", train_baseline.transform_for(SIDE, is_random=False)
    )
    losses, _ = train_baseline.train(
        network,
        DataLoader(images, batch_size=BATCH),
        epochs=2,
        learning_rate=rows[0]["learning_rate"],
        most_norm=MOST_NORM,
    )
    for row, loss, when in zip(rows, losses, ("before the step", "after it"), strict=True):
        print(f"loss {when}: plain {loss:.6f}, calotype {row['train_loss']:.6f}")
        if abs(row["train_loss"] - loss) > TOLERANCE:
            sys.exit(f"the losses differ by more than {TOLERANCE}")


# --- the comparison ------------------------------------------------------------------------------


def make_photographs(
    folder: Path, *, size: tuple[int, int], images: int, validation: int = 2 * CLASSES
) -> Path:
    """Write JPEGs into class folders of `train` and `validation`."""
    for part, count in (("train", images), ("validation", validation)):
        for index in range(CLASSES):
            own = folder / part / f"class {index}"
            photographs.write(own, count=count // CLASSES, size=size, seed=index)
    return folder


def compare(settings: Sequence[Settings], rounds: int) -> None:
    """Print images/s and the ratios to the first alternative."""
    peers = [
        Peer(one.name, ["-W", "ignore", __file__, "--serve", *one.words()]) for one in settings
    ]
    measured: list[list[dict[str, Any]]] = [[] for _ in peers]
    for _ in range(rounds):
        for answers, peer in zip(measured, peers, strict=True):
            answers.append(peer.round())
    for peer in peers:
        peer.close()
    for part, title in (("first", "first epoch"), ("later", "epochs 2 and later")):
        print(f"\n{title}:  {'images/s':>26}{'ratio':>8}   min   max")
        for answers, peer in zip(measured, peers, strict=True):
            ratios = [
                own[part] / base[part] for own, base in zip(answers, measured[0], strict=True)
            ]
            rate = statistics.median(own[part] for own in answers)
            print(
                f"  {peer.name:30}{rate:10.1f}{statistics.median(ratios):8.2f}"
                f"{min(ratios):6.2f}{max(ratios):6.2f}"
            )


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--sizes", default="500x375,3000x2000")
    parser.add_argument("--precisions", default="fp32,bf16", help="of Calotype and the plain loop")
    parser.add_argument("--workers", default="0,2", help="of the plain loop's DataLoader")
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=3, help="of each round, at least 2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--full-size", action="store_true", help="do not scale to 256 pixels before the random crop"
    )
    parser.add_argument("--short", action="store_true", help="one small round")
    parser.add_argument("--serve", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve_rounds(Settings.of(options.serve))
        return
    if options.short:
        options.sizes, options.images, options.epochs, options.rounds = "500x375", 32, 2, 1
    check_mathematics()
    for size in options.sizes.split(","):
        folder = make_photographs(
            CACHE / f"{size}-{options.images}", size=SIZES[size], images=options.images
        )
        print(f"\nResNet-18, {options.images} JPEGs of {size}, {options.rounds} rounds")
        wanted = [
            Settings(PLAIN, precision, int(workers), folder, options.epochs, options.full_size)
            for precision in options.precisions.split(",")
            for workers in options.workers.split(",")
        ]
        wanted += [
            Settings("calotype", precision, 0, folder, options.epochs, options.full_size)
            for precision in options.precisions.split(",")
        ]
        compare(wanted, options.rounds)


if __name__ == "__main__":
    main()
