"""The files that hold many images: opened once, read by many threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class OpenContainers:
    """Open descriptors of containers by name."""

    def __init__(self, locate: Callable[[str], Path]) -> None:
        """Take the function that finds a container; it may make the file, or raise an error."""
        self._locate = locate
        self._descriptors: dict[str, int] = {}
        self._lock = threading.Lock()

    def descriptor(self, container: str) -> int:
        """Return the descriptor of a container, open for reading; for positioned reads only.

        Raises:
            OSError: the file cannot be opened.
        """
        found = self._descriptors.get(container)
        if found is not None:
            return found
        with self._lock:
            if container not in self._descriptors:
                self._descriptors[container] = os.open(self._locate(container), OPEN_FLAGS)
            return self._descriptors[container]

    def close(self) -> None:
        """Close them all."""
        with self._lock:
            for descriptor in self._descriptors.values():
                os.close(descriptor)
            self._descriptors.clear()
