"""Digests that tell whether a source has changed, and two image directories apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from calotype.tables import ArrowTable


class SourceDigest:
    """A digest of the names and states of a source's files, in its order."""

    def __init__(self) -> None:
        """Begin with no file."""
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, states: Iterable[str]) -> None:
        """Add the states of more files."""
        lines = "".join(f"{state}\n" for state in states)
        self._hash.update(lines.encode("utf-8", "surrogateescape"))

    @property
    def value(self) -> str:
        """The digest so far, in hexadecimal."""
        return self._hash.hexdigest()


class DataDigest:
    """A digest of the rows of an image directory, and of what else makes its data differ."""

    def __init__(self, *others: str) -> None:
        """Begin with texts such as the fingerprint of the source."""
        self._hash = hashlib.blake2b("\0".join(others).encode(), digest_size=16)

    def add(self, rows: ArrowTable) -> None:
        """Add rows with the columns `path`, `category` and `bytes`."""
        for name in ("path", "category"):
            values = rows[name].to_pylist()
            self._hash.update("\n".join(value or "\0" for value in values).encode())
        self._hash.update(rows["bytes"].to_numpy().astype(np.dtype("<i8")).tobytes())

    @property
    def value(self) -> str:
        """The digest so far, in hexadecimal."""
        return self._hash.hexdigest()
