"""`calotype service client|check`: of a deployed service, or of any that runs."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from calotype.cli.completion import complete_services
from calotype.cli.options import PATH
from calotype.cli.terminal import Terminal, command, examples, table
from calotype.cli.workspace_option import current_workspace, workspace_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from calotype.clients import Auth, Language
    from calotype.clients.described import Description
    from calotype.serving.check import CheckReport
    from calotype.serving.http_client import HttpClient

URI = "http://localhost:5001/score"
COLUMNS = ("", "what", "found, and what to do")
LANGUAGES = ("python", "csharp", "go", "java", "javascript", "curl", "powerquery")


@command(
    epilog=examples(
        "calotype service client -n flowers --language python > client.py",
        f"calotype service client --uri {URI} --language go --auth key --example body.json",
        f"calotype service client --uri {URI} --language curl --image",
    )
)
@click.option("--uri", help="The scoring URI of any service, as `calotype serve` printed it.")
@click.option("-n", "--name", shell_complete=complete_services, help="Of a deployed service.")
@workspace_option
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
    uri: str | None,
    name: str | None,
    language: Language,
    auth: Auth | None,
    example: Path | None,
    image: bool,
) -> None:
    """Print a client of a service, ready to run.

    Without --example and --image, the service itself is asked what it takes, and has to run; with
    --image it is asked whether it wants a credential, if it runs. If it asks for a key even then,
    put that into the environment variable CALOTYPE_KEY.
    """
    from calotype.clients import LANGUAGES, client_source

    if example and image:
        raise click.UsageError("--example and --image exclude each other.")
    reached = _reached(uri, name)
    auth = auth or reached.auth
    described = _described(reached, example, is_image=image, asks_service=auth is None)
    source = client_source(
        language,
        uri=reached.uri,
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


class _Reached(NamedTuple):
    """A service, and what is known of it without asking it."""

    uri: str
    credential: str | None
    auth: Auth | None = None
    http: HttpClient | None = None
    fetch: Callable[[str], bytes] | None = None


def _reached(uri: str | None, name: str | None) -> _Reached:
    """Return where a service is; a deployed one with its own credential."""
    if (uri is None) == (name is None):
        raise click.UsageError("Give either -n or --uri.")
    if name is None:
        return _Reached(uri or "", os.environ.get("CALOTYPE_KEY"))
    from calotype import errors
    from calotype.hosting.management import Management
    from calotype.hosting.management.calling import client_for

    workspace = current_workspace()
    management = Management(workspace)
    seen = management.observe(name)
    found = seen.scoring_uri
    if not found:
        raise errors.OperationFailed(
            "expected a service with a scoring URI",
            where=f"service '{name}'",
            got=(seen.error or {}).get("message") or "none",
            action="`calotype up` starts the services of the workspace.",
        )
    service = workspace.services.get(name)
    http = client_for(workspace, service, found)
    fetch = management.document_reader(name, found)
    credential = management.credential(name) or None
    return _Reached(found, credential, service.access.auth, http, fetch)


def _described(
    reached: _Reached, example: Path | None, *, is_image: bool, asks_service: bool
) -> Description:
    from calotype import errors
    from calotype.clients.described import Description, describe

    uri, credential = reached.uri, reached.credential
    if example is not None:
        return Description(name=uri, auth="none", is_image=False, example=_read(example))
    if not is_image:
        return describe(uri, credential=credential, fetch=reached.fetch)
    unasked = Description(name=uri, auth="none", is_image=True, example=None)
    if not asks_service:
        return unasked
    try:
        described = describe(uri, credential=credential, fetch=reached.fetch)
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
        "calotype service check -n flowers",
        f"calotype service check --uri {URI}",
        f"CALOTYPE_KEY=... calotype service check --uri {URI} --power-bi",
    )
)
@click.option("--uri", help="The scoring URI of any service, as `calotype serve` printed it.")
@click.option("-n", "--name", shell_complete=complete_services, help="Of a deployed service.")
@workspace_option
@click.option("--key", envvar="CALOTYPE_KEY", help="Key or token.  [env var: CALOTYPE_KEY]")
@click.option("--power-bi", is_flag=True, help="Fail when Power BI cannot use the service.")
def check(
    terminal: Terminal, uri: str | None, name: str | None, key: str | None, power_bi: bool
) -> None:
    """Call a service as its clients do, and say what they will stumble over.

    Looks at health, at the Swagger documents, at the answer to their own example, and at the shape
    that Power BI needs.
    """
    from calotype.serving.check import check as run_check

    reached = _reached(uri, name)
    show_report(
        terminal,
        run_check(
            reached.uri,
            credential=key or reached.credential,
            power_bi=power_bi,
            http=reached.http,
        ),
    )


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
