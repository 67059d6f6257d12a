"""What opens a service: two keys, or the key that signs its tokens. Sealed in its record."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from calotype.workspace.secrets import KeyFile


@dataclass(frozen=True, slots=True)
class Credentials:
    """Secrets of one service; which of them count says its `access.auth`.

    All are made with the service, so that switching `auth` on later needs no new ones.

    Attributes:
        primary_key, secondary_key: either opens the service, with "key".
        signing_key: Ed25519 private key, PEM; signs tokens, with "token".
    """

    primary_key: str = field(repr=False)
    secondary_key: str = field(repr=False)
    signing_key: str = field(repr=False)

    def sealed(self, key_file: KeyFile) -> bytes:
        """Return this as the database keeps it."""
        return key_file.seal(asdict(self))

    @classmethod
    def opened(cls, sealed: bytes, key_file: KeyFile) -> Self:
        """Return what `sealed` has encrypted.

        Raises:
            CorruptWorkspace: with another key.
        """
        document: dict[str, Any] = key_file.open(sealed)
        return cls(**document)
