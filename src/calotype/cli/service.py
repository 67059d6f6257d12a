"""`calotype service`: what can be done with a service that runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from calotype.cli.options import PATH
from calotype.cli.terminal import Terminal, command, examples

if TYPE_CHECKING:
    from calotype.clients import Auth, Language
    from calotype.clients.described import Description

URI = "http://localhost:5001/score"
LANGUAGES = ("python", "csharp", "go", "java", "javascript", "curl", "powerquery")


@click.group(
    epilog=examples(
        f"calotype service client --uri {URI} --language python > client.py",
    )
)
def service() -> None:
    """Write a client of a service that runs."""


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
    "CALOTYPE_KEY.  [default: what the service says; none with --example or --image]",
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

    Without --example and --image, the service itself is asked what it takes, and has to run. If
    it asks for a key even then, put that into the environment variable CALOTYPE_KEY.
    """
    from calotype.clients import LANGUAGES, client_source

    if example and image:
        raise click.UsageError("--example and --image exclude each other.")
    described = _described(uri, example, is_image=image)
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


def _described(uri: str, example: Path | None, *, is_image: bool) -> Description:
    from calotype.clients.described import Description, describe

    if example is None and not is_image:
        return describe(uri, credential=os.environ.get("CALOTYPE_KEY"))
    body = None if example is None else _read(example)
    return Description(name=uri, auth="none", is_image=is_image, example=body)


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


service.add_command(client)
