"""The limit of the operating system on open files, which holds connections too."""

from __future__ import annotations

import logging
import resource
from collections.abc import Iterator

import pytest

from calotype.serving.server import allow_descriptors


@pytest.fixture
def hard() -> Iterator[int]:
    """Lower what may be open; return how far it may be raised again."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_as_many_files_as_connections_may_be_open(hard: int) -> None:
    allow_descriptors(150)
    assert limit() == 200
    allow_descriptors(300)
    assert limit() == 300


def test_a_limit_that_cannot_be_raised_is_told(hard: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        allow_descriptors(hard + 1)
    assert limit() == hard
    assert "--max-connections" in caplog.text
