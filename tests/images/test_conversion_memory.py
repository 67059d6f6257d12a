"""Converting more images takes no more memory."""

from __future__ import annotations

import struct
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import pytest

BLOCK = 512
# The first member is a hole of ten gigabytes: all offsets are beyond what 32 bits and the octal
# size field of old archives can hold.
HOLE_BYTES = 10 << 30

MEASURE = """
import resource, sys
from calotype.images.convert import convert
made = convert(sys.argv[1], sys.argv[2])
last = list(made.entries(len(made) - 1))
assert last[0].offset > 10 << 30
print(len(made), len(made.categories), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def write_tar(path: Path, images: int) -> None:
    """Write an archive of so many PNG headers in a hundred class folders."""
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", 500, 375, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + ihdr + struct.pack(">I", zlib.crc32(ihdr))
    member = tarfile.TarInfo("hole.bin")
    member.size = HOLE_BYTES
    with path.open("wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.seek(BLOCK + HOLE_BYTES)
        for number in range(images):
            name = f"class{number % 100:02}/photograph-number-{number:08}.png"
            file.write(header(name, len(data)) + data.ljust(BLOCK, b"\0"))
        file.write(bytes(2 * BLOCK))


def header(name: str, size: int) -> bytes:
    """Return a ustar header, quicker than tarfile makes one."""
    block = bytearray(struct.pack("100s 24s 12s 12s 8s c", name.encode(), b"", b"%011o" % size,
                                  b"", b" " * 8, b"0").ljust(BLOCK, b"\0"))  # fmt: skip
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def peak_mb(folder: Path, images: int) -> int:
    """Return the most memory that converting so many images took, in MB."""
    archive = folder / f"{images}.tar"
    write_tar(archive, images)
    command = [sys.executable, "-c", MEASURE, archive, folder / f"out{images}"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    archive.unlink()
    made, categories, peak = map(int, run.stdout.split())
    assert (made, categories) == (images, 100)
    return peak


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    assert peak_mb(tmp_path, 300_000) <= peak_mb(tmp_path, 100_000) + 25
