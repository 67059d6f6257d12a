"""Is a document one that code generators can use? The essentials, without a validator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from calotype.serving.findings import Finding
from calotype.serving.openapi.contract import Schema
from calotype.serving.openapi.schemas import mismatch

_OWN = "Correct it in your own swagger file, or remove that and one is made from the script."
_BEHIND_PROXY = "Behind a proxy, hand the Host header on and set the path prefix of the service."
_DEFAULT_PORTS = {"http": 80, "https": 443}


def schemas_of(document: Mapping[str, Any]) -> Mapping[str, Schema]:
    """Return the named schemas of a document of any version."""
    return document.get("definitions") or document.get("components", {}).get("schemas", {})


def takes_json_of(document: Mapping[str, Any]) -> tuple[Schema, Schema]:
    """Return the schemas of the JSON body of `POST /score` and of its answer, resolved."""
    post = _post(document)
    if "swagger" in document:
        bodies = [one for one in post.get("parameters", ()) if one.get("in") == "body"]
        takes = bodies[0].get("schema", {}) if bodies else {}
        gives = post.get("responses", {}).get("200", {}).get("schema", {})
    else:
        takes = _json_schema(post.get("requestBody", {}))
        gives = _json_schema(post.get("responses", {}).get("200", {}))
    return _resolved(takes, document), gives


def document_findings(number: str, document: Mapping[str, Any], uri: str) -> list[Finding]:
    """Return what is wrong with a document, or that all is well.

    Args:
        number: the version that was asked for: `2`, `3` or `3.1`.
        document: the reply.
        uri: the scoring URI.
    """
    subject = f"swagger {number}"
    problems = [
        *_of_version(number, document),
        *_of_address(document, uri),
        *_of_operation(document),
    ]
    if not problems:
        return [Finding("ok", subject, "complete, with the right address")]
    return [Finding("error", subject, message, fix) for message, fix in problems]


def _of_version(number: str, document: Mapping[str, Any]) -> list[tuple[str, str]]:
    key, wanted = ("swagger", "2.0") if number == "2" else ("openapi", f"{float(number):.1f}")
    got = str(document.get(key, ""))
    if got == wanted or got.startswith(f"{wanted}."):
        return []
    # A user's own swagger3.json answers for both versions of OpenAPI 3.
    if key == "openapi" and got.startswith("3."):
        return []
    return [(f"expected '{key}' to be {wanted}, got {got or 'none'}", _OWN)]


def _of_address(document: Mapping[str, Any], uri: str) -> list[tuple[str, str]]:
    if "swagger" in document:
        return _of_address_2(document, uri)
    servers = document.get("servers") or [{"url": "/"}]
    wanted = uri.rstrip("/").rsplit("/", 1)[0]
    if any(_same_address(str(server.get("url", "")), wanted) for server in servers):
        return []
    return [(f"expected the server {wanted}, got {servers[0].get('url')}", _BEHIND_PROXY)]


def _of_address_2(document: Mapping[str, Any], uri: str) -> list[tuple[str, str]]:
    parts = urlsplit(uri)
    found: list[tuple[str, str]] = []
    schemes = document.get("schemes", [parts.scheme])
    if parts.scheme not in schemes:
        got = ", ".join(map(str, schemes))
        found.append((f"expected the scheme {parts.scheme}, got {got}", _BEHIND_PROXY))
    host = document.get("host")
    if host is not None and not _same_address(f"{parts.scheme}://{host}", _root(uri)):
        found.append((f"expected the host {parts.netloc}, got {host}", _BEHIND_PROXY))
    base = str(document.get("basePath", "/")).rstrip("/")
    wanted = parts.path.rstrip("/").rsplit("/", 1)[0]
    if base != wanted:
        found.append((f"expected the base path {wanted or '/'}, got {base or '/'}", _BEHIND_PROXY))
    return found


def _same_address(one: str, other: str) -> bool:
    return _normal(one) == _normal(other)


def _normal(uri: str) -> tuple[str, str, int | None, str]:
    parts = urlsplit(uri)
    try:
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        port = None
    return parts.scheme, (parts.hostname or "").lower(), port, parts.path.rstrip("/")


def _root(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"


def _of_operation(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    post = _post(document)
    if not post:
        return [("expected the operation POST /score, got none", _OWN)]
    found: list[tuple[str, str]] = []
    if not post.get("operationId"):
        found.append(("expected an operationId for POST /score, got none", _OWN))
    if "200" not in post.get("responses", {}):
        found.append(("expected the answer 200 of POST /score, got none", _OWN))
    if "get" not in document.get("paths", {}).get("/", {}):
        found.append(("expected the operation GET /, got none", _OWN))
    named = schemas_of(document)
    for name, schema in named.items():
        for example in _examples(schema):
            reason = mismatch(example, schema, named)
            if reason:
                found.append((f"the example of {name} does not fit its schema: {reason}", _OWN))
    return found


def _examples(schema: Schema) -> list[Any]:
    return schema.get("examples", [schema["example"]] if "example" in schema else [])


def _post(document: Mapping[str, Any]) -> dict[str, Any]:
    return document.get("paths", {}).get("/score", {}).get("post", {})


def _json_schema(holder: Mapping[str, Any]) -> Schema:
    return holder.get("content", {}).get("application/json", {}).get("schema", {})


def _resolved(schema: Schema, document: Mapping[str, Any]) -> Schema:
    """Return the schema behind references; of several forms the first."""
    for _ in range(8):
        forms = schema.get("anyOf") or schema.get("oneOf")
        if forms:
            schema = forms[0]
        elif "$ref" in schema:
            schema = schemas_of(document).get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
        else:
            break
    return schema
