"""A workspace for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from calotype.workspace.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Make an empty workspace."""
    made = Workspace.create("tests", tmp_path / "place")
    yield made
    made.close()
