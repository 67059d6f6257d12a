"""Options of `calotype serve` as settings of what every service has: keys, TLS, kept requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from calotype.serving.front import FrontSettings

_CHECK_LIFETIME_S = 300


def with_capture(
    front: FrontSettings,
    folder: Path | None,
    collect: Path | None,
    hidden: str,
    *,
    with_copies: bool,
) -> FrontSettings:
    """Fill in where requests, inputs and predictions are kept."""
    fields = tuple(name.strip() for name in hidden.split(",") if name.strip())
    if folder is None and collect is None and fields:
        raise click.UsageError("--capture-fields-to-hide belongs to --capture and --collect.")
    if collect is None and with_copies:
        raise click.UsageError("--collect-image-copies belongs to --collect.")
    return replace(
        front,
        capture=str(folder.resolve()) if folder else "",
        collect=str(collect.resolve()) if collect else "",
        collect_image_copies=with_copies,
        hidden_fields=fields,
    )


def with_credentials(
    front: FrontSettings, primary: str | None, secondary: str | None, token_key: Path | None
) -> FrontSettings:
    """Fill in the keys, given or made, or the public part of the signing key."""
    from calotype.serving.auth.authenticator import keys_for

    auth = front.service.auth
    if bool(front.certificate) != bool(front.certificate_key):
        raise click.UsageError("--tls-cert and --tls-key belong together.")
    if (token_key is not None) != (auth == "token"):
        raise click.UsageError("--auth token and --token-key FILE belong together.")
    keys = keys_for(auth, primary, secondary, given_as=_given(("primary_key", "secondary_key")))
    if keys is not None:
        return replace(front, primary_key=keys.primary, secondary_key=keys.secondary)
    if token_key is None:
        return front
    from calotype.serving.auth.tokens import by_id, jwks, signing_key

    public = by_id(signing_key(token_key).public_key())
    return replace(front, token_keys=json.dumps(jwks(public)))


def credential_of(front: FrontSettings, token_key: Path | None) -> str:
    """Return what opens the service to a caller of our own; empty when nothing is asked for."""
    if token_key is None:
        return front.primary_key
    from calotype.serving.auth.tokens import TokenIssuer, signing_key
    from calotype.serving.front import ISSUER

    issuer = TokenIssuer(signing_key(token_key), service=front.service.name, issuer=ISSUER)
    return issuer.issue(lifetime_s=_CHECK_LIFETIME_S).token


def _given(names: Sequence[str]) -> str:
    """Return how the user gave these options: by their flags or environment variables."""
    context = click.get_current_context()
    found: list[str] = []
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name not in names or source in (None, ParameterSource.DEFAULT):
            continue
        is_variable = source == ParameterSource.ENVIRONMENT
        found.append(f"variable {option.envvar}" if is_variable else option.opts[0])
    return ", ".join(found)


def refuse(names: Sequence[str], why: str) -> None:
    """Refuse options that have no meaning for what is served.

    Raises:
        UsageError: one of them was given.
    """
    if given := _given(names):
        raise click.UsageError(f"{given} {why}")
