"""Convert to Image Directory against copying the same files, and a million images in one archive.

The retired module copied every image, so that copying is the least that it could take.

    python benchmarks/convert.py                    # folders of JPEGs: convert, cp -r, copytree
    python benchmarks/convert.py --entries 1000000  # a sparse tar archive: time and peak memory

Everything is read once before the clock starts, so that all three find it in the page cache, and
the three take turns. `--folder` says where to work; a memory file system shows the least ratio.
"""

from __future__ import annotations

import argparse
import io
import shutil
import statistics
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from calotype.images.convert import convert

SIZES = {(500, 375): 10_000, (3000, 2000): 400}
REPEATS = 5

MEASURE = """
import resource, sys, time
from calotype.images.convert import convert
started = time.perf_counter()
made = convert(sys.argv[1], sys.argv[2])
seconds = time.perf_counter() - started
print(len(made), seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description="Measure Convert to Image Directory.")
    parser.add_argument("--entries", type=int, help="measure a tar archive of so many images")
    parser.add_argument("--folder", type=Path, help="where to work (default: the temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if arguments.entries:
            measure_archive(Path(folder), arguments.entries)
        else:
            for size, count in SIZES.items():
                measure_copying(Path(folder), size, count)


def measure_copying(folder: Path, size: tuple[int, int], count: int) -> None:
    """Print how converting a folder of photographs compares to copying it."""
    photos = folder / "photos"
    make_photos(photos, size, count)
    total_mb = sum(path.stat().st_size for path in photos.rglob("*.jpg")) / 1e6
    out = folder / "out"
    ways: dict[str, Callable[[], object]] = {
        "calotype convert": lambda: convert(photos, out),
        "cp -r": lambda: subprocess.run(["cp", "-r", photos, out], check=True),
        "shutil.copytree": lambda: shutil.copytree(photos, out),
    }
    convert(photos, out)  # loads libraries, and reads every file's header
    shutil.rmtree(out)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
            shutil.rmtree(out)
    print(f"{count:,} JPEGs of {size[0]} x {size[1]}, {total_mb:,.0f} MB; {REPEATS} turns")
    ours = statistics.median(seconds["calotype convert"])
    for name, each in seconds.items():
        middle = statistics.median(each)
        spread = f"{min(each):.2f}-{max(each):.2f} s"
        rate = f"{count / middle:9,.0f} images/s"
        print(f"  {name:<18}{middle:7.2f} s ({spread}) {rate}  {middle / ours:6.1f} times ours")
    shutil.rmtree(photos)


def make_photos(folder: Path, size: tuple[int, int], count: int) -> None:
    """Write photographs (noise over soft colours) into twenty class folders."""
    contents = [photograph(size, seed) for seed in range(8)]
    for number in range(count):
        path = folder / f"class{number % 20:02}" / f"photo{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[number % len(contents)])


def photograph(size: tuple[int, int], seed: int) -> bytes:
    """Return a JPEG with about as many bytes as a photograph of that size has."""
    random = np.random.default_rng(seed)
    soft = random.integers(0, 255, (size[1] // 60, size[0] // 60, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(soft).resize(size, Image.Resampling.BICUBIC), np.int16)
    noise = random.normal(0, 6, (size[1], size[0], 1)).astype(np.int16)
    buffer = io.BytesIO()
    Image.fromarray((image + noise).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def measure_archive(folder: Path, entries: int) -> None:
    """Print time and peak memory of converting a tar archive, against a tenth of it."""
    for count in (entries // 10, entries):
        archive = folder / f"{count}.tar"
        write_sparse_tar(archive, count)
        command = [sys.executable, "-c", MEASURE, archive, folder / f"out{count}"]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        made, seconds, peak_mb = map(float, run.stdout.split())
        size_gb = archive.stat().st_size / 1e9
        print(
            f"{int(made):,} images in a tar of {size_gb:,.0f} GB: {seconds:.1f} s, "
            f"{made / seconds:,.0f} images/s, peak {peak_mb:.0f} MB"
        )
        archive.unlink()


def write_sparse_tar(path: Path, images: int, *, image_bytes: int = 62_000) -> None:
    """Write an archive of PNG headers with holes where the pixels would be, in 1,000 folders."""
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", 500, 375, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + ihdr + struct.pack(">I", zlib.crc32(ihdr))
    member = tarfile.TarInfo("class000/photograph-number-00000000.png")
    member.size = image_bytes
    template = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    with path.open("wb") as file:
        for number in range(images):
            name = f"class{number % 1000:03}/photograph-number-{number:08}.png".encode()
            template[: len(name)] = name
            template[148:156] = b" " * 8
            template[148:156] = b"%06o\0 " % sum(template)
            file.write(template + start)
            file.seek(image_bytes - len(start) + -image_bytes % 512, io.SEEK_CUR)
        file.write(bytes(1024))


if __name__ == "__main__":
    main()
