"""Peak memory of scoring 1,000 and 20,000 images: it must not grow with their number.

python benchmarks/memory.py [--images 20000]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import photographs

CACHE = Path(tempfile.gettempdir()) / "calotype-benchmarks"
_DIFFERENT = 200


def make_archive(count: int) -> Path:
    """Make a tar of `count` JPEGs of 320 x 240 pixels, 200 of them different."""
    path = CACHE / f"memory-{count}.tar"
    if not path.exists():
        made = photographs.write(CACHE / "320x240", count=_DIFFERENT, size=(320, 240))
        with tarfile.open(path, "w") as tar:
            for index in range(count):
                tar.add(made[index % _DIFFERENT], f"{index:06d}.jpg")
    return path


def measure(source: Path, out: Path) -> tuple[float, float]:
    """Score an archive as a whole process; return its peak in MiB and its seconds."""
    command = [
        *(str(Path(sys.executable).with_name("calotype")), "-q", "score", "--model", "imagenet"),
        *("--precision", "fp32", "--images", str(source), "--out", str(out)),
    ]
    started_s = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / 1024, time.perf_counter() - started_s


def main() -> None:
    """Print both peaks and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    options = parser.parse_args()
    peaks: list[float] = []
    for count in (1_000, options.images):
        with tempfile.TemporaryDirectory() as folder:
            peak_mib, elapsed_s = measure(make_archive(count), Path(folder) / "scored")
        peaks.append(peak_mib)
        print(f"{count:7,} images: peak {peak_mib:7.1f} MiB, {elapsed_s:6.1f} s")
    print(f"ratio {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
