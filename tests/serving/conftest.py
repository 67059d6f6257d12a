"""What tests of the service share: small networks, described services, and an alarm that does not outlive a test."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for folder in (Path(__file__).parent / "openapi", Path(__file__).parents[1] / "models"):
    sys.path.insert(0, str(folder))


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """Stop the alarm of scripts that ran in this process, and give its handler back."""
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
