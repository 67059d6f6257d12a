"""Score Image Model against plain torch: steady rates, shares of the limit, whole processes.

    python benchmarks/score.py [--models resnet18,resnet50] [--images 300] [--rounds 5]

Every alternative lives in a process of its own and runs in turn with the others, so that a change
in the machine's speed hits all of them. The limit is `1 / (1 / decode + 1 / infer)`: what the
machine can do when decoding and inference share its cores without any loss.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import photographs
from peers import Peer, answer_rounds

HERE = Path(__file__).parent
CACHE = Path(tempfile.gettempdir()) / "calotype-benchmarks"
SIZES = {"500x375": (500, 375), "3000x2000": (3000, 2000)}
PRECISIONS = ("fp32", "bf16", "int8")


def make_model(name: str, calibration: Path) -> Path:
    """Make an image model with an int8 version; random weights are as fast as trained ones."""
    folder = CACHE / "models" / name
    if (folder / "model.int8.onnx").exists():
        return folder
    from calotype.images.image_directory import ImageDirectory
    from calotype.models.image_model import ImageModel
    from calotype.scoring.optimize import add_int8

    shutil.rmtree(folder, ignore_errors=True)
    if name == "imagenet":
        shutil.copytree(ImageModel.load("imagenet").path, folder)
    else:
        _make_random(name, folder)
    with ImageDirectory.open(calibration) as images:
        add_int8(ImageModel.load(folder), images, max_accuracy_drop=1.0)
    return folder


def _make_random(name: str, folder: Path) -> None:
    import torch

    from calotype.images.preprocess import Preprocessing
    from calotype.models import architectures
    from calotype.models.export import export
    from calotype.models.image_model import Architecture, ModelDescription

    torch.manual_seed(0)
    preprocessing = Preprocessing()
    description = ModelDescription(
        architecture=Architecture(name=name),
        classes=tuple(f"class {index}" for index in range(1000)),
        input_size=preprocessing.input_size,
        preprocessing=preprocessing,
    )
    export(architectures.build(name, classes=1000), description, folder)


# --- the alternatives: each prepares itself and returns what one round runs ---------------------


def simple(model: Path, folder: Path, _: str) -> Callable[[], list[int]]:
    """(a): open, transform, stack, infer, in one process."""
    import torch

    import baseline

    paths = sorted(folder.glob("*.jpg"))
    network, transform = baseline.load_network(model), baseline.transform_of(model)
    cores = torch.get_num_threads()

    def run() -> list[int]:
        scored = baseline.score_simply(network, transform, paths, batch=cores)
        return scored.argmax(1).tolist()

    return run


def loader(model: Path, folder: Path, _: str) -> Callable[[], list[int]]:
    """(b): the same behind a DataLoader with a worker for each core."""
    import torch

    import baseline

    paths = sorted(folder.glob("*.jpg"))
    network, transform = baseline.load_network(model), baseline.transform_of(model)
    cores = torch.get_num_threads()

    def run() -> list[int]:
        scored = baseline.score_with_loader(network, transform, paths, workers=cores)
        return scored.argmax(1).tolist()

    return run


def calotype(model: Path, folder: Path, precision: str) -> Callable[[], list[int]]:
    """(c): the Scorer over the same files."""
    from calotype.images.convert import convert
    from calotype.scoring.scorer import Scorer

    scorer = Scorer(model, precision)  # pyright: ignore[reportArgumentType] - one of PRECISIONS
    directory = convert(folder, CACHE / "directories" / folder.name)
    return lambda: [
        int(label) for chunk in scorer.chunks(directory) for label in chunk.probabilities.argmax(1)
    ]


def decode(model: Path, folder: Path, _: str) -> Callable[[], list[int]]:
    """Only reading, decoding and preprocessing, with a thread for each core."""
    import numpy as np

    from calotype.images.preprocess import Preprocessor
    from calotype.models.image_model import ImageModel
    from calotype.resources import usable_cores

    paths = sorted(folder.glob("*.jpg"))
    preprocessor = Preprocessor(ImageModel.load(model).preprocessing)
    local = threading.local()

    def one(path: Path) -> None:
        if not hasattr(local, "out"):
            local.out = np.empty(preprocessor.preprocessing.input_shape(1)[1:], np.float32)
        preprocessor.load(path.read_bytes(), local.out)

    pool = ThreadPoolExecutor(usable_cores())
    return lambda: [0 for _ in pool.map(one, paths)]


def infer(model: Path, folder: Path, precision: str) -> Callable[[], list[int]]:
    """Only inference, with a thread for each core."""
    import numpy as np

    from calotype.scoring.scorer import Scorer

    count = len(list(folder.glob("*.jpg")))
    scorer = Scorer(model, precision)  # pyright: ignore[reportArgumentType] - one of PRECISIONS
    size = scorer.runtime.batch_size
    batches = [
        np.random.default_rng(index)
        .standard_normal(scorer.model.preprocessing.input_shape(size))
        .astype(np.float32)
        for index in range(scorer.threads)
    ]
    pool = ThreadPoolExecutor(scorer.threads)

    def run() -> list[int]:
        runs = [
            pool.submit(scorer.infer, batches[i % scorer.threads]) for i in range(count // size)
        ]
        return [0 for one in runs for _ in one.result()]

    return run


ALTERNATIVES: dict[str, Callable[[Path, Path, str], Callable[[], list[int]]]] = {
    "simple": simple,
    "loader": loader,
    "calotype": calotype,
    "decode": decode,
    "infer": infer,
}


def serve_rounds(alternative: str, model: str, folder: str, precision: str) -> None:
    """Answer each round with the rate in images/s and the labels."""
    run = ALTERNATIVES[alternative](Path(model), Path(folder), precision)
    run()

    def measured() -> dict[str, Any]:
        started_s = time.perf_counter()
        labels = run()
        return {"rate": len(labels) / (time.perf_counter() - started_s), "labels": labels}

    answer_rounds(measured)


class Scoring(Peer):
    """One alternative and what its rounds came to."""

    def __init__(
        self, alternative: str, model: Path, folder: Path, precision: str = "fp32"
    ) -> None:
        name = alternative if precision == "fp32" else f"{alternative} {precision}"
        super().__init__(
            name, [__file__, "--serve", alternative, str(model), str(folder), precision]
        )
        self.rates: list[float] = []
        self.labels: list[int] = []

    def measure(self) -> None:
        """Run once and keep the rate."""
        answer = self.round()
        self.rates.append(answer["rate"])
        self.labels = answer["labels"]

    @property
    def rate(self) -> float:
        """The median of the rounds, in images/s."""
        return statistics.median(self.rates)


def compare(model: Path, folder: Path, precisions: list[str], rounds: int) -> None:
    """Print steady rates, ratios to (a), shares of the limit and equal labels."""
    peers = {name: Scoring(name, model, folder) for name in ("simple", "loader", "decode")}
    for precision in precisions:
        peers[f"infer {precision}"] = Scoring("infer", model, folder, precision)
        peers[f"calotype {precision}"] = Scoring("calotype", model, folder, precision)
    for _ in range(rounds):
        for peer in peers.values():
            peer.measure()
    base = peers["simple"]
    print(f"\n{model.name}, {folder.name}: {len(base.labels)} images, median of {rounds} rounds")
    print(f"{'':18}{'images/s':>10}{'x (a)':>8}{'limit':>9}{'share':>8}{'labels as (a)':>15}")
    for name, peer in peers.items():
        line = f"{name:18}{peer.rate:10.1f}{peer.rate / base.rate:8.2f}"
        if name.startswith("calotype"):
            inferred = peers[name.replace("calotype", "infer")].rate
            limit = 1 / (1 / peers["decode"].rate + 1 / inferred)
            equal = sum(a == b for a, b in zip(peer.labels, base.labels, strict=True))
            line += f"{limit:9.1f}{peer.rate / limit:8.1%}{equal:11d}/{len(base.labels)}"
        print(line)
    for peer in peers.values():
        peer.close()


def compare_processes(model: Path, folder: Path, precisions: list[str], rounds: int) -> None:
    """Print the time of whole processes, start-up included."""
    commands = {"simple": [sys.executable, str(HERE / "baseline.py"), str(model), str(folder)]}
    for precision in precisions:
        commands[f"calotype {precision}"] = [
            *(
                str(Path(sys.executable).with_name("calotype")),
                "-q",
                "score",
                "--model",
                str(model),
            ),
            *("--images", str(folder), "--precision", precision, "--out"),
        ]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            with tempfile.TemporaryDirectory() as out:
                full = command if name == "simple" else [*command, f"{out}/scored"]
                started_s = time.perf_counter()
                subprocess.run(full, check=True, stdout=subprocess.DEVNULL)
                times[name].append(time.perf_counter() - started_s)
    base_s = statistics.median(times["simple"])
    print(f"\nwhole process, {model.name}, {folder.name}, median of {rounds}")
    for name, taken_s in times.items():
        median_s = statistics.median(taken_s)
        print(f"{name:18}{median_s:9.2f} s{base_s / median_s:8.2f} x (a)")


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="resnet18,resnet50")
    parser.add_argument("--sizes", default="500x375,3000x2000")
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve_rounds(*options.serve)
        return
    precisions = options.precisions.split(",")
    for size in options.sizes.split(","):
        count = options.images if size == "500x375" else max(20, options.images // 5)
        folder = CACHE / f"{size}-{count}"
        photographs.write(folder, count=count, size=SIZES[size])
        for name in options.models.split(","):
            model = make_model(name, folder)
            compare(model, folder, precisions, options.rounds)
            if options.processes and size == "500x375":
                compare_processes(model, folder, precisions, options.rounds)


if __name__ == "__main__":
    main()
