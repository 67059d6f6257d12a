"""Tokens that end by themselves: JWT signed with Ed25519, for one service each."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import OKPAlgorithm

from calotype import errors, files
from calotype.serving.refusals import Refusal

LIFETIME_S = 3600
LEEWAY_S = 10  # clocks of two machines differ
_ALGORITHM = "EdDSA"
_REQUIRED = ["aud", "exp", "iat", "iss"]
_MAX_TOKEN_BYTES = 4096
_MAX_REMEMBERED = 10_000
_CHALLENGE = (b"www-authenticate", b'Bearer error="invalid_token"')
_RENEW = "Get a new token with `calotype service get-access-token`."

PublicKeys = Mapping[str, Ed25519PublicKey]


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token.

    Attributes:
        token: what follows `Bearer`.
        refresh_by: when a caller should get the next one, before this one ends.
        expires_at: when it ends.
    """

    token: str = field(repr=False)
    refresh_by: datetime
    expires_at: datetime


class TokenIssuer:
    """Signs tokens for one service.

    Args:
        private_key: the signing key.
        service: name of the service, which becomes the audience.
        issuer: who says so; verifiers compare it.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        private_key: Ed25519PrivateKey,
        *,
        service: str,
        issuer: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = private_key
        self._id = key_id(private_key.public_key())
        self._service = service
        self._issuer = issuer
        self._clock = clock

    def issue(self, *, lifetime_s: int = LIFETIME_S) -> IssuedToken:
        """Return a token that is valid from now on; it should be renewed after 5/6 of its life."""
        now = int(self._clock())
        claims = {
            "iss": self._issuer,
            "aud": self._service,
            "iat": now,
            "exp": now + lifetime_s,
            "jti": str(uuid.uuid4()),
        }
        token = jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"kid": self._id})
        refresh_by = datetime.fromtimestamp(now + lifetime_s * 5 // 6, UTC)
        return IssuedToken(token, refresh_by, datetime.fromtimestamp(now + lifetime_s, UTC))


class _Expired(Refusal):
    """The token was right and is over."""


class TokenVerifier:
    """Tells whether a token is for this service, and remembers those that are until they end.

    Args:
        public_keys: keys by `kid`; several while one is being exchanged.
        audience: name of the service.
        issuer: whose tokens count.
        other_keys: keys by `kid` of other services: what they signed opens nothing here, but its
            owner hears that it is for another service.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        public_keys: PublicKeys,
        *,
        audience: str,
        issuer: str,
        other_keys: PublicKeys = MappingProxyType({}),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = dict(public_keys)
        self._other_keys = dict(other_keys)
        self._audience = audience
        self._issuer = issuer
        self._clock = clock
        # Digest of a token to the second when it ends. A signature costs 60 times a look-up.
        self._verified: OrderedDict[bytes, float] = OrderedDict()

    def verify(self, token: bytes) -> None:
        """Let a valid token pass.

        Raises:
            Refusal: 401 for one that is malformed, forged or expired, 403 for another service's.
        """
        # Tokens are looked up by digest: the time of a look-up tells nothing about their text.
        digest = hashlib.sha256(token).digest()
        ends_s = self._verified.get(digest)
        if ends_s is not None and self._clock() < ends_s:
            return
        claims, is_ours = self._claims(token)
        self._check_times(claims)
        if claims["aud"] != self._audience:
            raise Refusal(403, "The token is for another service. " + _RENEW)
        if not is_ours:  # the key of another service says nothing about this one
            raise _wrong()
        self._verified[digest] = claims["exp"] + LEEWAY_S
        if len(self._verified) > _MAX_REMEMBERED:
            self._verified.popitem(last=False)

    def is_expired(self, refusal: Refusal) -> bool:
        """Whether a refusal is about a token that was right once."""
        return isinstance(refusal, _Expired)

    def _claims(self, token: bytes) -> tuple[dict[str, Any], bool]:
        """Return the claims of a token whose signature, issuer and form are right.

        And whether a key of this service signed it.
        """
        if len(token) > _MAX_TOKEN_BYTES:
            raise _wrong()
        try:
            name = jwt.get_unverified_header(token).get("kid", "")
            key = self._keys.get(name) or self._other_keys.get(name)
            if key is None:
                raise _wrong()
            # The times are checked below, against our clock; so is the audience, for its 403.
            own = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
            claims = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                issuer=self._issuer,
                options={"require": _REQUIRED, **own},  # pyright: ignore[reportArgumentType]
            )
        except (jwt.InvalidTokenError, ValueError, TypeError):
            raise _wrong() from None
        times = claims["iat"], claims["exp"]
        if not all(type(value) in (int, float) for value in times):
            raise _wrong()
        return claims, name in self._keys

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now_s = self._clock()
        if claims["iat"] > now_s + LEEWAY_S:
            raise Refusal(401, "The token is not valid yet: compare the clocks.", [_CHALLENGE])
        if now_s >= claims["exp"] + LEEWAY_S:
            raise _Expired(401, "The token has expired. " + _RENEW, [_CHALLENGE])


def _wrong() -> Refusal:
    return Refusal(401, "The token is not one that this service knows. " + _RENEW, [_CHALLENGE])


def key_id(key: Ed25519PublicKey) -> str:
    """Return the name of a key, made of the key itself."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def by_id(*keys: Ed25519PublicKey) -> dict[str, Ed25519PublicKey]:
    """Return keys by their names."""
    return {key_id(key): key for key in keys}


def jwks(keys: PublicKeys) -> dict[str, Any]:
    """Return the document of `/.well-known/jwks.json`: the public keys, for other verifiers."""
    return {
        "keys": [
            {
                **OKPAlgorithm.to_jwk(key, as_dict=True),
                "kid": name,
                "alg": _ALGORITHM,
                "use": "sig",
            }
            for name, key in keys.items()
        ]
    }


def keys_of(document: Mapping[str, Any]) -> dict[str, Ed25519PublicKey]:
    """Return the keys of a document that `jwks` made."""
    keys = {key["kid"]: OKPAlgorithm.from_jwk(key) for key in document["keys"]}
    return {name: key for name, key in keys.items() if isinstance(key, Ed25519PublicKey)}


def signing_key(path: Path) -> Ed25519PrivateKey:
    """Read the signing key in `path`, or make one there that only its owner may read.

    Raises:
        UnreadableFile: it cannot be read.
        UnparsableFile: it holds something else.
        CannotWrite: it is not there and cannot be made.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return _make_signing_key(path)
    except OSError as error:
        raise errors.UnreadableFile(
            "expected a readable signing key", where=str(path), got=error.strerror or "an I/O error"
        ) from error
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except (ValueError, TypeError):
        key = None
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise errors.UnparsableFile(
        "expected an Ed25519 private key in PEM form, without a password",
        where=str(path),
        got="something else",
        action="Remove the file to have a new key made; tokens of the old one end with it.",
    )


def _make_signing_key(path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with files.aside(path) as temporary:
        # Private from its first moment: a later chmod would leave a gap.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
    return key
