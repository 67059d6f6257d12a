"""What all tests share: a cache of their own, pictures, and the ImageNet model, made once."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from PIL import Image

from calotype.models.image_model import ImageModel

# Torch's threads of all workers and their subprocesses would fight for the machine's cores: many
# times slower. Read when torch is loaded, and nothing has loaded it yet.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# An example that takes longer than usual says something about the machine, not about the program;
# and where `.ci/run` runs them, the same program gets the same examples.
settings.register_profile(
    "patient",
    settings(),
    deadline=None,
    derandomize=settings().derandomize or "CALOTYPE_TOOLCHAINS" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all workers of one test run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def imagenet_model(shared_folder: Path) -> ImageModel:
    """The ready ImageNet model; tests must not change its folder."""
    from calotype.models.imagenet import make_once

    with FileLock(shared_folder / "imagenet.lock"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("CALOTYPE_CACHE", str(shared_folder / "cache"))
        return ImageModel.load(make_once())


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a cache of its own, and nobody the user's; torch has one too."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("CALOTYPE_CACHE", str(folder))
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    return folder


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Give a function that saves a picture whose colour depends on its path."""

    def save(path: Path, size: tuple[int, int] = (8, 6), **options: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        code = zlib.crc32(str(path).encode("utf-8", "surrogateescape"))
        mode, colour = "RGB", (code & 255, code >> 8 & 255, code >> 16 & 255)
        if path.suffix.lower() == ".pgm":
            mode, colour = "L", colour[:1]
        Image.new(mode, size, colour).save(path, **options)
        return path

    return save


@pytest.fixture
def photos(tmp_path: Path, picture: Callable[..., Path]) -> Path:
    """Make a folder of two categories: three cats and two dogs."""
    folder = tmp_path / "photos"
    for name in ("cats/1.jpg", "cats/2.png", "cats/3.JPG", "dogs/1.jpg", "dogs/2.bmp"):
        picture(folder / name)
    return folder
