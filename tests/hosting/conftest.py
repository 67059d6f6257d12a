"""A workspace whose services run in real processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hosted import Hosted, hosting


@pytest.fixture
def hosted() -> Iterator[Hosted]:
    """A workspace of a test's own."""
    with hosting() as made:
        yield made
