"""`calotype service`: what can be done with a service that runs."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from calotype.cli.options import PATH
from calotype.cli.terminal import Terminal, command, examples, facts, table

if TYPE_CHECKING:
    from rich.console import Console

    from calotype.clients import Auth, Language
    from calotype.clients.described import Description
    from calotype.serving.check import CheckReport

URI = "http://localhost:5001/score"
COLUMNS = ("", "what", "found, and what to do")
LANGUAGES = ("python", "csharp", "go", "java", "javascript", "curl", "powerquery")


@click.group(
    epilog=examples(
        f"calotype service client --uri {URI} --language python > client.py",
        f"calotype service check --uri {URI}",
        "calotype service get-access-token -n service --token-key signing.pem",
    )
)
def service() -> None:
    """Check a service that runs, get a token for it, write a client of it."""


@command(
    epilog=examples(
        f"calotype service client --uri {URI} --language python > client.py",
        f"calotype service client --uri {URI} --language go --auth key --example body.json",
        f"calotype service client --uri {URI} --language curl --image",
    )
)
@click.option("--uri", required=True, help="The scoring URI, as `calotype serve` printed it.")
@click.option("--language", required=True, type=click.Choice(LANGUAGES), help="Of the client.")
@click.option(
    "--auth",
    type=click.Choice(["none", "key", "token"]),
    help="What the service asks for. The client reads it from the environment variable "
    "CALOTYPE_KEY.  [default: what the service says; none with --example]",
)
@click.option(
    "--example",
    type=PATH,
    help="A file with the body of a request, as JSON.  [default: the example of the service]",
)
@click.option("--image", is_flag=True, help="The client sends the bytes of an image file.")
def client(
    terminal: Terminal,
    uri: str,
    language: Language,
    auth: Auth | None,
    example: Path | None,
    image: bool,
) -> None:
    """Print a client of the service at a URI, ready to run.

    Without --example and --image, the service itself is asked what it takes, and has to run; with
    --image it is asked whether it wants a credential, if it runs. If it asks for a key even then,
    put that into the environment variable CALOTYPE_KEY.
    """
    from calotype.clients import LANGUAGES, client_source

    if example and image:
        raise click.UsageError("--example and --image exclude each other.")
    described = _described(uri, example, is_image=image, asks_service=auth is None)
    source = client_source(
        language,
        uri=uri,
        auth=auth or described.auth,
        example=described.example,
        is_image=described.is_image,
        name=described.name,
    )
    about = LANGUAGES[language]
    document = {
        "language": language,
        "file_name": about.file_name,
        "run": about.run,
        "source": source,
    }
    terminal.show(document, lambda _: click.echo(source, nl=False))


def _described(
    uri: str, example: Path | None, *, is_image: bool, asks_service: bool
) -> Description:
    from calotype import errors
    from calotype.clients.described import Description, describe

    credential = os.environ.get("CALOTYPE_KEY")
    if example is not None:
        return Description(name=uri, auth="none", is_image=False, example=_read(example))
    if not is_image:
        return describe(uri, credential=credential)
    unasked = Description(name=uri, auth="none", is_image=True, example=None)
    if not asks_service:
        return unasked
    try:
        described = describe(uri, credential=credential)
    except errors.OperationFailed as error:
        click.echo(
            f"note: the client sends no credential, for the service did not say whether it wants "
            f"one ({error.got}). Give --auth key if it does.",
            err=True,
        )
        return unasked
    return replace(described, is_image=True, example=None)


def _read(example: Path) -> bytes:
    from calotype import errors

    try:
        return example.read_bytes()
    except OSError as error:
        raise errors.UnreadableFile(
            "expected a file with the body of a request",
            where=str(example),
            got=error.strerror or type(error).__name__,
            action="Check the path of --example.",
        ) from error


@command(
    epilog=examples(
        f"calotype service check --uri {URI}",
        f"CALOTYPE_KEY=... calotype service check --uri {URI} --power-bi",
    )
)
@click.option("--uri", required=True, help="The scoring URI, as `calotype serve` printed it.")
@click.option("--key", envvar="CALOTYPE_KEY", help="Key or token.  [env var: CALOTYPE_KEY]")
@click.option("--power-bi", is_flag=True, help="Fail when Power BI cannot use the service.")
def check(terminal: Terminal, uri: str, key: str | None, power_bi: bool) -> None:
    """Call a service as its clients do, and say what they will stumble over.

    Looks at health, at the Swagger documents, at the answer to their own example, and at the shape
    that Power BI needs.
    """
    from calotype.serving.check import check as run_check

    show_report(terminal, run_check(uri, credential=key, power_bi=power_bi))


def show_report(terminal: Terminal, report: CheckReport) -> None:
    """Print what a check has found.

    Raises:
        OperationFailed: there is an error among it.
    """
    from calotype import errors

    document = {
        "uri": report.uri,
        "passed": report.passed,
        "findings": [asdict(finding) for finding in report.findings],
    }
    terminal.show(document, lambda console: table(console, COLUMNS, _rows(report)))
    if not report.passed:
        raise errors.OperationFailed(
            "expected a service without errors",
            where=report.uri,
            got=f"{sum(one.severity == 'error' for one in report.findings)} of them",
            action="Do what stands beside them.",
        )


def _rows(report: CheckReport) -> list[tuple[str, str, str]]:
    """Return what to do below what was found: names to copy need the width."""
    return [
        (severity, subject, f"{message}\n→ {fix}" if fix else message)
        for severity, subject, message, fix in report.rows
    ]


@command(
    name="get-access-token",
    epilog=examples("calotype service get-access-token -n service --token-key signing.pem"),
)
@click.option("-n", "--name", required=True, help="Of the service, as given to `calotype serve`.")
@click.option("--token-key", required=True, type=PATH, help="The file of its signing key.")
@click.option("--lifetime-s", type=click.IntRange(60, 86_400), default=3600, show_default=True)
def get_access_token(terminal: Terminal, name: str, token_key: Path, lifetime_s: int) -> None:
    """Make a token for a service that was started with --auth token."""
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
    issued = TokenIssuer(signing_key(token_key), service=name, issuer=ISSUER).issue(
        lifetime_s=lifetime_s
    )
    document = {
        "access_token": issued.token,
        "token_type": "Bearer",
        "refresh_after": issued.refresh_by.isoformat(),
        "expiry_on": issued.expires_at.isoformat(),
    }

    def render(console: Console) -> None:
        facts(console, [row for row in document.items() if row[0] != "access_token"])
        click.echo(issued.token)  # on one line, to be copied

    terminal.show(document, render)


for one in (client, check, get_access_token):
    service.add_command(one)
