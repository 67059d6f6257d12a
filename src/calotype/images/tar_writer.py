"""Writing a plain tar archive, and knowing where each file in it begins."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_BLOCK_BYTES: Final = 512
_RECORD_BYTES: Final = 20 * _BLOCK_BYTES


class TarWriter:
    """Appends files to a new archive in POSIX format; nothing of it is kept in memory."""

    def __init__(self, path: Path) -> None:
        """Begin the archive."""
        self._file = path.open("wb")

    def __enter__(self) -> TarWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, name: str, data: bytes) -> int:
        """Append a file and return the position of its first byte."""
        return self.add_parts(name, [data], size=len(data))

    def add_parts(self, name: str, parts: Iterable[bytes], *, size: int) -> int:
        """Append a file that comes in parts and return the position of its first byte.

        When `parts` raises, the archive is as before.

        Args:
            name: its path in the archive.
            parts: its content.
            size: the length of the content, in bytes.
        """
        start = self._file.tell()
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o644
        self._file.write(member.tobuf(tarfile.PAX_FORMAT))
        offset = self._file.tell()
        try:
            for part in parts:
                self._file.write(part)
        except BaseException:
            self._file.seek(start)
            self._file.truncate()
            raise
        self._file.write(bytes(-size % _BLOCK_BYTES))
        return offset

    def close(self) -> None:
        """Write the end of the archive."""
        if self._file.closed:
            return
        self._file.write(bytes(2 * _BLOCK_BYTES))
        self._file.write(bytes(-self._file.tell() % _RECORD_BYTES))
        self._file.close()
