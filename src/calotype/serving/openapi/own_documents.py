"""Documents that a user wrote and put beside the entry script; they win over ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import orjson

from calotype import errors

_FILES = (("swagger.json", "swagger"), ("swagger2.json", "swagger"), ("swagger3.json", "openapi"))
_MAX_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class OwnDocuments:
    """The user's documents by version: `2`, `3`, `3.1`."""

    by_version: dict[str, bytes] = field(default_factory=dict[str, bytes])

    @classmethod
    def load(cls, source_directory: Path) -> OwnDocuments:
        """Read `swagger.json` or `swagger2.json` (2.0) and `swagger3.json` (3.x), where they exist.

        Raises:
            FileError: one of them is no document of its version, or cannot be read (0048, 0049).
        """
        found: dict[str, bytes] = {}
        for name, key in _FILES:
            path = source_directory / name
            if path.is_file():
                content = _read(path, key)
                for version in ("2",) if key == "swagger" else ("3", "3.1"):
                    found.setdefault(version, content)
        return cls(found)


def _read(path: Path, key: str) -> bytes:
    try:
        content = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
    except OSError as error:
        reason = error.strerror or "an error"
        raise errors.UnreadableFile(
            "expected a readable file", where=str(path), got=reason
        ) from None
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        got = str(error) if content else f"an empty file, or more than {_MAX_BYTES:,} bytes"
        raise _unusable(path, key, got) from None
    if not isinstance(document, dict) or key not in document:
        raise _unusable(path, key, "JSON without it")
    return content


def _unusable(path: Path, key: str, got: str) -> errors.UnparsableFile:
    return errors.UnparsableFile(
        f"expected a JSON object with the property '{key}'",
        where=str(path),
        got=got,
        action="Correct the file, or remove it and the document is made from the entry script.",
    )
