"""What the training tests share: sets of digits, written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from small_digits import write_digits

from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory


@pytest.fixture(scope="session")
def digits(shared_folder: Path) -> Callable[[str], ImageDirectory]:
    """Return a function that opens one of three sets of digits by its name.

    `learn` has 300 images, `check` 100 others, and `few` the first 40 of `learn`.
    """
    folder = shared_folder / "digits"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            made = folder.with_name("digits being made")
            for name, indices in (("learn", range(300)), ("check", range(300, 400))):
                convert(write_digits(made / f"{name} files", indices), made / name, copy=True)
            convert(write_digits(made / "few files", range(40)), made / "few", copy=True)
            made.rename(folder)
    return lambda name: ImageDirectory.load(folder / name)
