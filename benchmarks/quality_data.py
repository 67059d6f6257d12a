"""Labelled images for quality.py, from packages: Fashion-MNIST, ELPV and digits."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from calotype.demo import link_cells
from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory
from calotype.images.split import split

CACHE = Path(tempfile.gettempdir()) / "calotype-benchmarks" / "quality"
FASHION = (
    *("T-shirt or top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
_FASHION_FOLDER = Path("usr/share/datasets/fashion-mnist")
_VALIDATION = 5000  # of the 60,000 training images of Fashion-MNIST
_PARTS = {"train": "train", "test": "t10k"}

_Labeled = tuple[str, NDArray[np.uint8]]  # category, pixels of shape (height, width)


@dataclass(frozen=True)
class Sets:
    """What to learn from, what to choose the epoch by, and what to measure."""

    training: ImageDirectory
    validation: ImageDirectory
    test: ImageDirectory


def fashion_mnist(*, images: int | None = None) -> Sets:
    """Return the official split, with 5,000 of the training images for validation.

    Args:
        images: take only so many of the training images, validation included.
    """
    folder = CACHE / "fashion-mnist"
    archives = {part: _fashion_archive(folder, part) for part in _PARTS}
    learn = convert(archives["train"], folder / "train images")
    test = convert(archives["test"], folder / "test images")
    name = f"{images or len(learn)} images"
    if images is not None and images < len(learn):
        learn = _first(learn, folder / name, fraction=images / len(learn), seed=1)
    validation = _VALIDATION / 60_000 if images is None else 0.1
    training, check = split(
        learn,
        folder / f"{name} train",
        folder / f"{name} validation",
        fraction=1 - validation,
        seed=1,
    )
    return Sets(training, check, test)


def _fashion_archive(folder: Path, part: str) -> Path:
    """Write the images of the Debian package as PNGs into a tar, once."""
    archive = folder / f"{part}.tar"
    if not archive.exists():
        found = _unpacked(folder)
        pixels = _read_idx(found / f"{_PARTS[part]}-images-idx3-ubyte.gz", header=16)
        labels = _read_idx(found / f"{_PARTS[part]}-labels-idx1-ubyte.gz", header=8)
        shaped = pixels.reshape(len(labels), 28, 28)
        write_tar(archive, ((FASHION[int(k)], one) for k, one in zip(labels, shaped, strict=True)))
    return archive


def _unpacked(folder: Path) -> Path:
    """Download and unpack the package without installing it."""
    installed = Path("/") / _FASHION_FOLDER
    if installed.exists():
        return installed
    unpacked = folder / "package"
    if not (unpacked / _FASHION_FOLDER).exists():
        unpacked.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "dataset-fashion-mnist"], cwd=unpacked, check=True)
        (package,) = unpacked.glob("dataset-fashion-mnist_*.deb")
        subprocess.run(["dpkg-deb", "-x", package, unpacked], check=True)
    return unpacked / _FASHION_FOLDER


def _read_idx(path: Path, *, header: int) -> NDArray[np.uint8]:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def elpv(seed: int, *, images: int | None = None) -> Sets:
    """Return the solar cells: a quarter to measure, a tenth of the rest to choose the epoch by."""
    cells = convert(_elpv_folder(), CACHE / "elpv images")
    return _stratified(cells, CACHE / f"elpv {seed} {images}", seed=seed, images=images)


def _elpv_folder() -> Path:
    folder = CACHE / "elpv"
    return folder if folder.exists() else link_cells(folder)


def digits(seed: int, *, images: int | None = None) -> Sets:
    """Return scikit-learn's digits of 8 x 8 pixels, split like the solar cells."""
    from sklearn.datasets import load_digits

    archive = CACHE / "digits.tar"
    if not archive.exists():
        loaded: Any = load_digits()
        pixels = (loaded.images * 15.9).astype(np.uint8)
        write_tar(archive, zip(map(str, loaded.target), pixels, strict=True))
    written = convert(archive, CACHE / "digits images")
    return _stratified(written, CACHE / f"digits {seed} {images}", seed=seed, images=images)


def write_tar(path: Path, images: Iterable[_Labeled]) -> None:
    """Write pictures as PNGs into class folders of a tar; one file is read faster than 60,000."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with tarfile.open(temporary, "w") as archive:
        for name, content in _pngs(images):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    temporary.rename(path)


def _pngs(images: Iterable[_Labeled]) -> Iterator[tuple[str, bytes]]:
    for index, (category, pixels) in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        yield f"{category}/{index:05d}.png", file.getvalue()


def _stratified(found: ImageDirectory, base: Path, *, seed: int, images: int | None) -> Sets:
    learn, test = split(found, _part(base, "learn"), _part(base, "test"), fraction=0.75, seed=seed)
    if images is not None and images < len(learn):
        learn = _first(learn, _part(base, "few"), fraction=images / len(learn), seed=seed)
    training, validation = split(
        learn, _part(base, "train"), _part(base, "validation"), fraction=0.9, seed=seed
    )
    return Sets(training, validation, test)


def _first(found: ImageDirectory, out: Path, *, fraction: float, seed: int) -> ImageDirectory:
    taken, _ = split(found, out, _part(out, "left"), fraction=fraction, seed=seed)
    return taken


def _part(base: Path, name: str) -> Path:
    return Path(f"{os.fspath(base)} {name}")
