"""Cold start: one photograph scored by a new process, from the shell's prompt to the result.

python benchmarks/start.py [--rounds 10]
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import photographs
from calotype.models.image_model import ImageModel

CACHE = Path(tempfile.gettempdir()) / "calotype-benchmarks"


def main() -> None:
    """Print the median and the range, and whether torch was imported."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    ImageModel.load("imagenet")  # made once, not part of a start
    (photograph,) = photographs.write(CACHE / "one", count=1, size=(500, 375))
    times: list[float] = []
    command = ["-m", "calotype", "-q", "score", "--model", "imagenet", "--images", str(photograph)]
    with tempfile.TemporaryDirectory() as folder:
        for index in range(options.rounds + 1):
            out = str(Path(folder) / str(index))
            started_s = time.perf_counter()
            subprocess.run([sys.executable, *command, "--out", out], check=True)
            times.append(time.perf_counter() - started_s)
        importing = [sys.executable, "-X", "importtime", *command, "--out", f"{folder}/last"]
        done = subprocess.run(importing, capture_output=True, text=True, check=True)
    warm = times[1:]
    has_torch = bool(re.search(r"\| +torch$", done.stderr, re.MULTILINE))
    print(
        f"one photograph, EfficientNet-Lite0: median {statistics.median(warm):.2f} s "
        f"({min(warm):.2f} to {max(warm):.2f}); torch imported: {'yes' if has_torch else 'no'}"
    )


if __name__ == "__main__":
    main()
