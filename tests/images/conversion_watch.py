"""What tests see of a conversion: what was said, taken and skipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calotype.images import formats, headers
from calotype.images.image_directory import ImageDirectory

Picture = Callable[..., Path]


class Heard:
    """A progress listener that remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.tasks: list[str] = []

    def begin(self, task: str, *, total: int | None, unit: str) -> None:
        self.tasks.append(task)

    def advance(self, count: int = 1, *, note: str = "") -> None: ...
    def end(self) -> None: ...
    def say(self, message: str) -> None:
        self.said.append(message)


def taken(directory: ImageDirectory) -> dict[str, str | None]:
    return {entry.path: entry.category for entry in directory.entries()}


def skipped(directory: ImageDirectory) -> dict[str, tuple[str, int | None]]:
    return {one.path: (one.reason, one.error_number) for one in directory.skipped()}


def count_headers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by the name of each image whose header is read."""
    read: list[str] = []
    original = formats.read_header

    def counting(*arguments: Any, **options: Any) -> Any:
        read.append(options["where"])
        return original(*arguments, **options)

    monkeypatch.setattr(headers, "read_header", counting)
    return read
