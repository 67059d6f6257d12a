"""The two keys of a service: one can be exchanged while the other works."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Literal, Self

from calotype import errors

PREFIX = "calotype_"  # lets scanners for leaked secrets, and people, recognise one
MIN_CHARACTERS = 8
MAX_CHARACTERS = 256

Slot = Literal["primary", "secondary"]


@dataclass(frozen=True, slots=True)
class ServiceKeys:
    """A pair of keys; never part of a log, a message or a `repr`.

    Args:
        primary: one key, 8 to 256 printable ASCII characters without blanks.
        secondary: the other.

    Raises:
        UnparsableValue: a key is too short, too long, or has other characters; both are the same.
    """

    primary: str = field(repr=False)
    secondary: str = field(repr=False)
    _digests: tuple[bytes, bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self.primary, "primary")
        _check(self.secondary, "secondary")
        if self.primary == self.secondary:
            raise errors.UnparsableValue(
                "expected two different keys",
                where="secondary key",
                got="the primary key again",
                action="With one key for both, neither can be exchanged while the other works.",
            )
        digests = _digest(self.primary.encode("ascii")), _digest(self.secondary.encode("ascii"))
        object.__setattr__(self, "_digests", digests)

    @classmethod
    def generate(cls) -> Self:
        """Make a pair of 256 random bits each."""
        return cls(new_key(), new_key())

    def accepts(self, presented: bytes) -> bool:
        """Whether `presented` is one of the keys; takes the same time whatever it is.

        Digests are compared, so that not even the length of a key shows in the time.
        """
        digest = _digest(presented)
        primary, secondary = self._digests
        return hmac.compare_digest(digest, primary) | hmac.compare_digest(digest, secondary)

    def regenerated(self, slot: Slot, *, value: str | None = None) -> Self:
        """Return a pair with one key exchanged, for a random one or one that the user chose."""
        chosen = new_key() if value is None else value
        if slot == "primary":
            return type(self)(chosen, self.secondary)
        return type(self)(self.primary, chosen)


def new_key() -> str:
    """Return a random key of 256 bits."""
    return PREFIX + secrets.token_urlsafe(32)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _check(key: str, slot: Slot) -> None:
    problem = ""
    if not MIN_CHARACTERS <= len(key) <= MAX_CHARACTERS:
        problem = f"{len(key)} characters"
    elif not (key.isascii() and key.isprintable() and " " not in key):
        problem = "others"
    if problem:  # the key itself stays out of the message
        raise errors.UnparsableValue(
            f"expected {MIN_CHARACTERS} to {MAX_CHARACTERS} printable ASCII characters "
            "without blanks",
            where=f"{slot} key",
            got=problem,
            action="Leave it out to have one made.",
        )
