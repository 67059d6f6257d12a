"""`calotype service get-keys|regen-key|get-access-token`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calotype.cli.options import PATH
from calotype.cli.service_option import management, name_option
from calotype.cli.terminal import Terminal, command, examples, facts, moment

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.serving.auth.tokens import IssuedToken


@command(
    name="get-keys",
    epilog=examples(
        "calotype service get-keys -n flowers",
        'curl -H "Authorization: Bearer $(calotype service get-keys -n flowers --only primary)" …',
    ),
)
@name_option
@click.option(
    "--only",
    type=click.Choice(["primary", "secondary"]),
    help="Print this key alone, for other commands.",
)
def get_keys(terminal: Terminal, name: str, only: str | None) -> None:
    """Show the two keys of a service; each opens it."""
    keys = management().keys(name)
    document = {"primary_key": keys.primary, "secondary_key": keys.secondary}
    if only is not None:
        document = {f"{only}_key": document[f"{only}_key"]}

    def render(_: Console) -> None:
        for key, value in document.items():  # not through a table, which may fold them
            click.echo(value if only else f"{key.replace('_', ' '):<15}{value}")

    terminal.show(document, render)


@command(
    name="regen-key",
    epilog=examples(
        "calotype service regen-key -n flowers -k primary",
        "CALOTYPE_NEW_KEY=… calotype service regen-key -n flowers -k secondary",
        "calotype service regen-key -n flowers -k token    # ends all tokens",
    ),
)
@name_option
@click.option(
    "-k",
    "--key",
    required=True,
    type=click.Choice(["primary", "secondary", "token"], case_sensitive=False),
    help="What to exchange; token: the key that signs tokens, which ends all of them.",
)
@click.option(
    "--set-key",
    envvar="CALOTYPE_NEW_KEY",
    show_envvar=True,
    help="The new key.  [default: one is made]",
)
def regen_key(terminal: Terminal, name: str, key: str, set_key: str | None) -> None:
    """Exchange one key of a service while the other one goes on working."""
    changes = management()
    changes.regenerate_key(name, key.lower(), set_key)
    document: dict[str, Any] = {"name": name, "regenerated": key.lower()}
    if key.lower() != "token":
        document[f"{key.lower()}_key"] = getattr(changes.keys(name), key.lower())
    terminal.show(
        document,
        lambda console: facts(console, [(k.replace("_", " "), v) for k, v in document.items()]),
    )


@command(
    name="get-access-token",
    epilog=examples(
        "calotype service get-access-token -n flowers",
        "calotype service get-access-token -n service --token-key signing.pem",
        "TOKEN=$(calotype service get-access-token -n flowers --only-token)",
    ),
)
@name_option
@click.option(
    "--token-key",
    type=PATH,
    help="The signing key of a service that `calotype serve` started; -n is then its name there.",
)
@click.option("--lifetime-s", type=click.IntRange(60, 86_400), default=3600, show_default=True)
@click.option("--only-token", is_flag=True, help="Print the token alone, for other commands.")
def get_access_token(
    terminal: Terminal, name: str, token_key: Path | None, lifetime_s: int, only_token: bool
) -> None:
    """Get a token for a service that asks for tokens."""
    if token_key is None:
        issued = management().token(name, lifetime_s=lifetime_s)
    else:
        issued = _signed(name, token_key, lifetime_s)
    document = {
        "access_token": issued.token,
        "token_type": "Bearer",
        "refresh_after": issued.refresh_by.isoformat(),
        "expiry_on": issued.expires_at.isoformat(),
    }

    def render(console: Console) -> None:
        if not only_token:
            times = (("refresh after", issued.refresh_by), ("expires", issued.expires_at))
            facts(console, [(name, moment(at)) for name, at in times])
        click.echo(issued.token)  # on one line, to be copied

    terminal.show(document, render)


def _signed(name: str, token_key: Path, lifetime_s: int) -> IssuedToken:
    from calotype import errors
    from calotype.serving.auth.tokens import TokenIssuer, signing_key
    from calotype.serving.front import ISSUER

    if not token_key.exists():
        raise errors.UnreadableFile(
            "expected the signing key of a service",
            where=str(token_key),
            got="nothing there",
            action="Give the file that `calotype serve --token-key` has.",
        )
    issuer = TokenIssuer(signing_key(token_key), service=name, issuer=ISSUER)
    return issuer.issue(lifetime_s=lifetime_s)
