"""`calotype service run`: a request with the service's credential."""

from __future__ import annotations

import json
import mimetypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from calotype import errors
from calotype.cli.options import PATH
from calotype.cli.service_option import management, name_option, pairs
from calotype.cli.terminal import Terminal, command, examples

if TYPE_CHECKING:
    from calotype.serving.http_client import Reply


@command(
    epilog=examples(
        """calotype service run -n diabetes -d '{"data": [[1,2,3,4,5,6,7,8,9,10]]}'""",
        "calotype service run -n diabetes -d @body.json",
        "calotype service run -n flowers --image photo.jpg --query top=3",
        "generate | calotype service run -n diabetes -d @-",
    )
)
@name_option
@click.option("-d", "--input-data", metavar="JSON|@FILE", help="The body; @- reads stdin.")
@click.option("--image", type=PATH, metavar="FILE", help="An image, sent as it is.")
@click.option("--content-type", help="Of the body.  [default: application/json, or the image's]")
@click.option("--header", multiple=True, metavar="NAME=VALUE", help="A header; repeatable.")
@click.option("--query", multiple=True, metavar="NAME=VALUE", help="Of the URI; repeatable.")
@click.option("--version", help="Which version of the service shall answer.")
@click.option("--timeout-s", type=click.FloatRange(min=0.1), default=80.0, show_default=True)
def run(
    terminal: Terminal,
    name: str,
    input_data: str | None,
    image: Path | None,
    content_type: str | None,
    header: tuple[str, ...],
    query: tuple[str, ...],
    version: str | None,
    timeout_s: float,
) -> None:
    """Send a request to a service and print the answer; keys and tokens are added.

    After a 401 the credential is read again, and the request is sent once more.
    """
    if (input_data is None) == (image is None):
        raise click.UsageError("Give either -d or --image.")
    body, guessed = _image(image) if image else (_body(input_data or ""), "application/json")
    headers = pairs(header, option="--header") or {}
    if version:
        headers["x-calotype-version"] = version
    reply = management().run(
        name,
        body,
        content_type or guessed,
        headers=headers,
        query=urlencode(pairs(query, option="--query") or {}),
        timeout_s=timeout_s,
    )
    if not 200 <= reply.status < 300:
        raise _refused(name, reply)
    _show(terminal, reply)


def _body(given: str) -> bytes:
    if not given.startswith("@"):
        return given.encode()
    if given == "@-":
        return sys.stdin.buffer.read()
    return _read(Path(given[1:]))


def _image(path: Path) -> tuple[bytes, str]:
    guessed = mimetypes.guess_type(path.name)[0] or ""
    return _read(path), guessed if guessed.startswith("image/") else "application/octet-stream"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.UnreadableFile(
            "expected a readable file",
            where=str(path),
            got=error.strerror or "an I/O error",
            action="Check the path.",
        ) from error


def _refused(name: str, reply: Reply) -> errors.OperationFailed:
    said = reply.body.decode("utf-8", "replace").strip()
    request = ""
    try:
        document: dict[str, Any] = json.loads(said)
        said, request = str(document["message"]), str(document.get("request_id", ""))
    except (ValueError, LookupError, TypeError):
        pass  # a script may answer in any form
    found = f" finds request {request} in its log" if request else " shows its log"
    return errors.OperationFailed(
        "expected the service to answer",
        where=f"service '{name}'",
        got=f"{reply.status} {said[:500]}",
        action=f"`calotype service get-logs -n {name}`{found}.",
    )


def _show(terminal: Terminal, reply: Reply) -> None:
    try:
        value = json.loads(reply.body)
    except ValueError:
        if terminal.output == "json":
            value = reply.body.decode("utf-8", "replace")
        else:  # an image, or text: as it is, for a pipe
            sys.stdout.buffer.write(reply.body)
            return
    text = json.dumps(value, ensure_ascii=False, indent=2)
    if terminal.output == "json" or not terminal.quiet:
        click.echo(text)
