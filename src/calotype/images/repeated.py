"""Archives may hold a path more than once; as when it is extracted, the last one counts."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

import numpy as np


class RepeatedPaths:
    """Finds paths that come more than once among millions, with 8 bytes of memory for each."""

    def __init__(self) -> None:
        """Begin with no path."""
        self._hashes = array("q")
        self._left: Counter[str] = Counter()

    def note(self, paths: Iterable[str]) -> None:
        """Take note of paths, the first time that they are seen."""
        self._hashes.extend(map(hash, paths))

    def resolve(self, paths: Iterable[str]) -> None:
        """Find out which paths are repeated, by going through all of them again if need be."""
        if not self._hashes:
            return
        hashes = np.frombuffer(self._hashes, np.int64)
        hashes.sort()
        suspects = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        if suspects:
            self._left = Counter(path for path in paths if hash(path) in suspects)

    def is_replaced(self, path: str) -> bool:
        """Return whether the same path comes again later; ask once for each, in order."""
        left = self._left.get(path, 0)
        if left > 1:
            self._left[path] = left - 1
        return left > 1
