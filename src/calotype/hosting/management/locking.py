"""One change of a service at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

from calotype import errors
from calotype.hosting import locks
from calotype.hosting.layout import Layout
from calotype.hosting.management.checking import check_name


def lock_of(layout: Layout, service: str) -> Path:
    """Return the lock of a service; outside its folder, which a deletion removes.

    Raises:
        UnparsableValue: that is no name of a service, and would lead elsewhere.
    """
    check_name(service)
    return layout.run / "management" / f"{service}.lock"


@contextlib.contextmanager
def changing(layout: Layout, service: str) -> Generator[None]:
    """Be the only one that changes a service; the lock file is gone afterwards.

    Raises:
        Busy: somebody else does (2002).
        UnparsableValue: that is no name of a service.
        CannotWrite: the lock cannot be made.
    """
    held = locks.Held.take(lock_of(layout, service))
    if held is None:
        raise errors.Busy(
            "expected no other operation on this service",
            where=f"service '{service}'",
            got="one that is in progress",
            action="Try again when it has finished.",
        )
    try:
        yield
    finally:
        held.release(delete=True)  # while it is held: the next one sees that it is another file
