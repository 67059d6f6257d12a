"""The source of a client: a template of the language, filled with what one service needs."""

from __future__ import annotations

import functools
import ipaddress
import json
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from calotype import errors
from calotype.clients import notation

if TYPE_CHECKING:
    import jinja2

Language = Literal["python", "csharp", "go", "java", "javascript", "curl", "powerquery"]
Auth = Literal["none", "key", "token"]

# What RFC 3986 lets stand in a path or a query, and percent signs: those are escapes already.
_URI_CHARACTERS = "/%:@!$&'()*+,;=~-._?"


@dataclass(frozen=True)
class ClientLanguage:
    """One language that clients are written in.

    Attributes:
        title: its name for people.
        file_name: under which the source runs.
        template: the file in `templates`.
        run: the command that runs it.
    """

    title: str
    file_name: str
    template: str
    run: str


LANGUAGES: dict[Language, ClientLanguage] = {
    "python": ClientLanguage("Python", "client.py", "client.py.j2", "python client.py"),
    "csharp": ClientLanguage("C#", "Client.cs", "Client.cs.j2", "dotnet run"),
    "go": ClientLanguage("Go", "client.go", "client.go.j2", "go run client.go"),
    "java": ClientLanguage("Java", "Client.java", "Client.java.j2", "java Client.java"),
    "javascript": ClientLanguage("JavaScript", "client.mjs", "client.mjs.j2", "node client.mjs"),
    "curl": ClientLanguage("curl", "client.sh", "client.sh.j2", "bash client.sh"),
    "powerquery": ClientLanguage("Power Query", "client.pq", "client.pq.j2", ""),
}


def client_source(
    language: Language,
    *,
    uri: str,
    auth: Auth,
    example: bytes | dict[str, Any] | list[Any] | None,
    is_image: bool,
    name: str,
) -> str:
    """Return a complete client of one service, ready to run.

    No credential is ever in it: the client reads the environment variable `CALOTYPE_KEY`
    (Power Query: a parameter of that name).

    Args:
        language: one of `LANGUAGES`.
        uri: of scoring.
        auth: what the service asks for.
        example: the body that the client sends, as JSON or what `json.loads` made of it; not read
            for image services.
        is_image: the client sends the bytes of an image file instead of an example.
        name: of the service, for comments.

    Raises:
        UnparsableValue: the URI is not one of HTTP, or the example is not JSON.
    """
    about = LANGUAGES[language]
    template = _templates().get_template(about.template)
    return template.render(
        uri=ascii_uri(uri),
        auth=auth,
        sample={} if is_image else _parsed(example),
        image=is_image,
        name=name,
        run=about.run,
        file_name=about.file_name,
    )


def _parsed(example: bytes | dict[str, Any] | list[Any] | None) -> Any:
    try:
        value = {"data": []} if example is None else example
        text = value if isinstance(value, bytes) else json.dumps(value)
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, TypeError) as error:
        raise errors.UnparsableValue(
            "expected JSON",
            where="example",
            got=str(error),
            action="Give the body of a request to the service, as it is sent.",
        ) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name}, which JSON does not have")


def ascii_uri(uri: str) -> str:
    """Return a URI with nothing that a client library or a string could stumble over."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
        address = _ascii_host(host) + (f":{port}" if port is not None else "")
    except ValueError as error:
        raise _not_a_uri(uri, str(error)) from error
    if parts.scheme not in ("http", "https") or not host:
        raise _not_a_uri(uri, repr(uri))
    if parts.username is not None:
        raise _not_a_uri(uri, "a URI with a user in it, and no secret belongs in a source")
    path, query = (_ascii_part(part) for part in (parts.path, parts.query))
    return urlunsplit((parts.scheme, address, path, query, ""))


def _ascii_part(part: str) -> str:
    lone_percent_signs_escaped = re.sub("%(?![0-9A-Fa-f]{2})", "%25", part)
    return quote(lone_percent_signs_escaped, safe=_URI_CHARACTERS)


def _ascii_host(host: str) -> str:
    if ":" in host:
        return f"[{ipaddress.IPv6Address(host)}]"
    ascii_host = host.encode("idna").decode("ascii")
    if not all(c.isalnum() or c in "-._" for c in ascii_host):
        raise ValueError(f"the host {host!r}")
    return ascii_host


def _not_a_uri(uri: str, got: str) -> errors.UnparsableValue:
    return errors.UnparsableValue(
        "expected the scoring URI of a service",
        where="uri",
        got=got,
        action="Give it as `calotype serve` printed it, such as http://localhost:5001/score.",
    )


@functools.cache
def _templates() -> jinja2.Environment:
    import jinja2

    templates = jinja2.Environment(  # noqa: S701 - programs, not HTML; filters quote what is not ours
        loader=jinja2.PackageLoader("calotype.clients"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters.update(
        {
            "comment": notation.comment,
            "quoted": notation.quoted,
            "m_quoted": notation.m_quoted,
            "shell_quoted": shlex.quote,
            "python": notation.PYTHON.write,
            "javascript": notation.JAVASCRIPT.write,
            "json": notation.JSON.write,
            "java_lines": _java_lines,
            "verbatim": lambda value: notation.JSON.write(value).replace('"', '""'),
            "backquoted": lambda value: notation.JSON.write(value).replace("`", r"\u0060"),
            "m_body": _m_body,
        }
    )
    return templates


def _java_lines(value: Any) -> str:
    # Lines, because one constant has at most 65,535 bytes; ASCII, because javac guesses encodings.
    lines = notation.ASCII_JSON.write(value).split("\n")
    return ",\n            ".join(map(notation.quoted, lines))


def _m_body(sample: Any) -> str:
    """Return the request for a batch of rows as a Power Query expression, shaped as the sample."""
    if not isinstance(sample, dict) or not sample:
        return _m_rows(sample)
    fields = dict(sample)
    if isinstance(fields.get("Inputs"), dict) and fields["Inputs"]:
        first, rows = next(iter(fields["Inputs"].items()))
        written = {"Inputs": f"[{notation.m_field(first)} = {_m_rows(rows)}]"}
    else:
        first = next((one for one in fields if isinstance(fields[one], list)), next(iter(fields)))
        written = {first: _m_rows(fields[first])}
    pairs = (
        f"{notation.m_field(one)} = {written.get(one) or notation.POWER_QUERY.write(value)}"
        for one, value in fields.items()
    )
    return ", ".join(pairs).join("[]")


def _m_rows(rows: Any) -> str:
    first = rows[0] if isinstance(rows, list) and rows else []
    if isinstance(first, dict):
        return "Table.ToRecords(batch)"
    return "Table.ToRows(batch)" if isinstance(first, list) else "List.Combine(Table.ToRows(batch))"
