"""Keys and tokens of a service: made, shown, exchanged."""

from __future__ import annotations

import dataclasses
from typing import Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from calotype import errors
from calotype.serving.auth.keys import ServiceKeys, new_key
from calotype.serving.auth.tokens import LIFETIME_S, IssuedToken, TokenIssuer
from calotype.serving.front import ISSUER
from calotype.workspace.credentials import Credentials
from calotype.workspace.services import Service
from calotype.workspace.workspace import Workspace

Slot = Literal["primary", "secondary", "token"]


def make_credentials(primary: str | None, secondary: str | None) -> Credentials:
    """Return credentials for a new service, with the keys that were chosen.

    Raises:
        UnparsableValue: a chosen key is none.
    """
    keys = ServiceKeys(primary or new_key(), secondary or new_key())
    return Credentials(keys.primary, keys.secondary, _new_signing_key())


def with_chosen_keys(
    credentials: Credentials, primary: str | None, secondary: str | None
) -> Credentials:
    """Return credentials with those keys exchanged that were chosen.

    Raises:
        UnparsableValue: a chosen key is none.
    """
    keys = ServiceKeys(primary or credentials.primary_key, secondary or credentials.secondary_key)
    return dataclasses.replace(credentials, primary_key=keys.primary, secondary_key=keys.secondary)


def regenerated(credentials: Credentials, slot: str, value: str | None) -> Credentials:
    """Return credentials with one secret exchanged, for a random one or for `value`.

    Raises:
        UnparsableValue: an unknown slot, or a value that is no key.
    """
    wanted = slot.lower()
    if wanted == "token" and value is None:
        return dataclasses.replace(credentials, signing_key=_new_signing_key())
    if wanted not in ("primary", "secondary"):
        raise errors.UnparsableValue(
            "expected 'primary' or 'secondary', or 'token' without a value",
            where="key to regenerate",
            got=repr(slot),
        )
    keys = ServiceKeys(credentials.primary_key, credentials.secondary_key)
    changed = keys.regenerated("primary" if wanted == "primary" else "secondary", value=value)
    return dataclasses.replace(
        credentials, primary_key=changed.primary, secondary_key=changed.secondary
    )


def opened(workspace: Workspace, service: Service) -> Credentials:
    """Return the secrets of a service."""
    return Credentials.opened(service.credentials, workspace.key_file)


def keys_of(workspace: Workspace, service: Service) -> ServiceKeys:
    """Return the keys that open a service.

    Raises:
        NotSupported: it has none, or asks for something else.
    """
    _require(service, "key", "keys")
    secrets = opened(workspace, service)
    return ServiceKeys(secrets.primary_key, secrets.secondary_key)


def token_of(
    workspace: Workspace, service: Service, *, lifetime_s: int = LIFETIME_S
) -> IssuedToken:
    """Return a new token that opens a service.

    Raises:
        NotSupported: it asks for something else.
    """
    _require(service, "token", "tokens")
    pem = opened(workspace, service).signing_key.encode()
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, Ed25519PrivateKey)
    return TokenIssuer(key, service=service.name, issuer=ISSUER).issue(lifetime_s=lifetime_s)


def credential_of(workspace: Workspace, service: Service) -> str:
    """Return what a caller of our own shows; empty when nothing is asked for."""
    match service.access.auth:
        case "none":
            return ""
        case "key":
            return keys_of(workspace, service).primary
        case "token":
            return token_of(workspace, service).token


def _require(service: Service, auth: Literal["key", "token"], what: str) -> None:
    if service.access.auth == auth:
        return
    got = {"none": "no credential", "key": "a key", "token": "a token"}[service.access.auth]
    action = f"Switch it on with `calotype service update -n {service.name} --auth {auth}`."
    if service.target in ("local", "batch"):
        action = f"Services on target '{service.target}' are not protected."
    elif service.target == "instance" and auth == "token":
        action = "Tokens need target 'cluster'."
    raise errors.NotSupported(
        f"expected a service with {what}",
        where=f"service '{service.name}'",
        got=f"one that asks for {got}",
        action=action,
    )


def _new_signing_key() -> str:
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode("ascii")
    )
