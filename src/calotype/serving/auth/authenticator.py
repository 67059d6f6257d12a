"""Whether a caller may use the service: nobody asks, a key, or a token; chosen once."""

from __future__ import annotations

from typing import Literal, Protocol

from calotype import errors
from calotype.serving.auth.guesses import Guesses
from calotype.serving.auth.keys import ServiceKeys
from calotype.serving.auth.tokens import TokenVerifier
from calotype.serving.refusals import Refusal

_SCHEME = b"bearer"
_CHALLENGE = (b"www-authenticate", b"Bearer")
_WRONG_CHALLENGE = (b"www-authenticate", b'Bearer error="invalid_token"')


class Authenticator(Protocol):
    """Decides about each request by its `Authorization` header."""

    def check(self, authorization: bytes | None, client: str) -> None:
        """Let a request pass.

        Args:
            authorization: the header's value, None when there was none.
            client: the address that it came from.

        Raises:
            Refusal: 401 for a missing or wrong credential, 403 for one of another service, 429
                after too many wrong ones.
        """
        ...


class NoAuth:
    """Everybody may; the header is not looked at."""

    def check(self, authorization: bytes | None, client: str) -> None:
        """Let everything pass."""


class KeyAuth:
    """Who has one of the two keys may."""

    def __init__(self, keys: ServiceKeys, guesses: Guesses) -> None:
        self.keys = keys
        self._guesses = guesses

    def check(self, authorization: bytes | None, client: str) -> None:
        """Let requests with one of the keys pass."""
        # Nearly all requests come with exactly this; everything else may take longer.
        if (
            authorization is not None
            and authorization.startswith(b"Bearer ")
            and self.keys.accepts(authorization[7:])
        ):
            return
        presented = _credential(authorization, "the primary or secondary key of this service")
        if not self.keys.accepts(presented):
            self._guesses.count(client)
            raise Refusal(
                401,
                "The key is not one of this service. Ask whoever runs the service for the primary "
                "or secondary key; it may have been exchanged.",
                [_WRONG_CHALLENGE],
            )


class TokenAuth:
    """Who has a token for this service may."""

    def __init__(self, verifier: TokenVerifier, guesses: Guesses) -> None:
        self._verifier = verifier
        self._guesses = guesses

    def check(self, authorization: bytes | None, client: str) -> None:
        """Let requests with a valid token pass."""
        token = _credential(authorization, "a token for this service")
        try:
            self._verifier.verify(token)
        except Refusal as refusal:
            # An expired token was once right: its owner only needs to renew it.
            if refusal.status == 401 and not self._verifier.is_expired(refusal):
                self._guesses.count(client)
            raise


def _credential(authorization: bytes | None, what: str) -> bytes:
    """Return what follows `Bearer`; what is missing is not a guess, and not counted."""
    scheme, _, credential = (authorization or b"").strip().partition(b" ")
    credential = credential.strip()
    if scheme.lower() == _SCHEME and credential:
        return credential
    got = "none" if not scheme else "another form"
    raise Refusal(
        401,
        f"Expected the header `Authorization: Bearer CREDENTIAL` with {what}. Got {got}.",
        [_CHALLENGE],
    )


def keys_for(
    auth: Literal["none", "key", "token"],
    primary: str | None,
    secondary: str | None,
    *,
    given_as: str = "parameters 'primary_key' and 'secondary_key'",
) -> ServiceKeys | None:
    """Return the keys that `serve --auth` needs: given, made, or none.

    Args:
        auth: what callers have to show.
        primary, secondary: the keys that were given.
        given_as: how they were given, for the error.

    Raises:
        ParameterError: keys were given to a service that does not ask for keys, or are no keys.
    """
    if auth == "key":
        made = ServiceKeys.generate()
        return ServiceKeys(primary or made.primary, secondary or made.secondary)
    if primary is None and secondary is None:
        return None
    raise errors.UnparsableValue(
        "expected keys only with --auth key",
        where=given_as,
        got=f"them with --auth {auth}",
        action="Say --auth key, or leave the keys out: a service has one kind of credential.",
    )


def one_kind(*, key_auth: bool, token_auth: bool) -> Literal["none", "key", "token"]:
    """Return the setting for the two switches of the original SDK.

    Raises:
        UnparsableValue: both are on.
    """
    if key_auth and token_auth:
        raise errors.UnparsableValue(
            "expected keys or tokens",
            where="parameters 'auth_enabled' and 'token_auth_enabled'",
            got="both on",
            action="Switch one of them off: a service has one kind of credential.",
        )
    if token_auth:
        return "token"
    return "key" if key_auth else "none"
