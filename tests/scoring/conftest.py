"""What the scoring tests share: photographs on disk and a model with every precision."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

import photographs
from calotype.images.image_directory import ImageDirectory
from calotype.models.image_model import ImageModel
from calotype.scoring.optimize import add_int8
from calotype.scoring.runtimes import openvino

COUNT = 208


@pytest.fixture(scope="module", autouse=True)
def any_processor() -> Iterator[None]:
    """Let bf16 be asked for on processors without it, too, where OpenVINO computes in fp32."""

    def every(_: str) -> bool:
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino, "has_in_hardware", every)
        yield


@pytest.fixture(scope="session")
def photograph_folder(shared_folder: Path) -> Path:
    """208 JPEGs of 320 x 240 pixels in three class folders."""
    folder = shared_folder / "photographs"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            made = photographs.write(shared_folder / "flat", count=COUNT, size=(320, 240))
            for index, path in enumerate(made):
                category = folder / ("red", "green", "blue")[index % 3]
                category.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, category)
    return folder


@pytest.fixture(scope="session")
def model(imagenet_model: ImageModel, photograph_folder: Path, shared_folder: Path) -> ImageModel:
    """The ImageNet model with an int8 version, however much that loses."""
    folder = shared_folder / "model"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            copied = shared_folder / "copied"
            shutil.copytree(imagenet_model.path, copied)
            with ImageDirectory.open(photograph_folder) as images:
                add_int8(ImageModel.load(copied), images, max_accuracy_drop=1.0)
            copied.rename(folder)
    return ImageModel.load(folder)
