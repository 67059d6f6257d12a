"""What must be shown again, encrypted with the workspace's key file."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calotype import errors, files

if TYPE_CHECKING:
    from cryptography.fernet import Fernet


class KeyFile:
    """The key that seals secrets in the database; only its owner may read it.

    Args:
        path: of the key.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def make(self) -> None:
        """Make the key, unless there is one."""
        if not self._path.exists():
            from cryptography.fernet import Fernet

            write_private(self._path, Fernet.generate_key())

    @property
    def is_private(self) -> bool:
        """Whether its owner only may read it."""
        return os.name != "posix" or not stat.S_IMODE(self._path.stat().st_mode) & 0o077

    def seal(self, value: dict[str, Any]) -> bytes:
        """Return `value` encrypted."""
        return self._fernet().encrypt(json.dumps(value).encode())

    def open(self, sealed: bytes) -> dict[str, Any]:
        """Return what was sealed.

        Raises:
            CorruptWorkspace: it was sealed with another key, or is damaged.
        """
        from cryptography.fernet import InvalidToken  # most commands open no secret

        try:
            return json.loads(self._fernet().decrypt(sealed))
        except InvalidToken:
            raise errors.CorruptWorkspace(
                "expected secrets that this key file opens",
                where=str(self._path),
                got="others",
                action="Put the key file of this workspace into its place.",
            ) from None

    def _fernet(self) -> Fernet:
        from cryptography.fernet import Fernet

        try:
            return Fernet(self._path.read_bytes())
        except FileNotFoundError:
            raise errors.CorruptWorkspace(
                "expected the key file of the workspace",
                where=str(self._path),
                got="none",
                action="Copy it from where the workspace was made, or restore it.",
            ) from None
        except OSError as error:
            raise errors.UnreadableFile(
                "expected a key file that this user may read",
                where=str(self._path),
                got=error.strerror or "an I/O error",
                action="Work as the user who made the workspace.",
            ) from error
        except ValueError:
            raise errors.CorruptWorkspace(
                "expected the key file of the workspace", where=str(self._path), got="another file"
            ) from None


def write_private(path: Path, content: bytes) -> None:
    """Write a file that its owner only may read, whole or not at all."""
    with files.aside(path) as temporary:
        # Private from its first moment: a later chmod would leave a gap.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
