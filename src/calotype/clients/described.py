"""What a running service says about itself: its Swagger document, read for the sake of a client."""

from __future__ import annotations

import functools
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from calotype import errors
from calotype.clients.client import Auth, ascii_uri

_TIMEOUT_S = 10.0
_MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class Description:
    """What a client has to know about a service.

    Attributes:
        name: of the service.
        auth: whether it asks for a credential; documents do not tell keys from tokens.
        is_image: it takes the bytes of an image as they are.
        example: the body of a request.
    """

    name: str
    auth: Auth
    is_image: bool
    example: Any


def swagger_uri(scoring_uri: str) -> str:
    """Return where the document of a service is.

    >>> swagger_uri("http://localhost/api/v1/service/diabetes/score?top=3")
    'http://localhost/api/v1/service/diabetes/swagger.json'
    """
    parts = urlsplit(ascii_uri(scoring_uri))
    folder = parts.path.rstrip("/").rpartition("/")[0]
    return urlunsplit((parts.scheme, parts.netloc, f"{folder}/swagger.json", "", ""))


def describe(
    scoring_uri: str,
    *,
    credential: str | None = None,
    fetch: Callable[[str], bytes] | None = None,
) -> Description:
    """Ask a running service what it takes.

    Args:
        scoring_uri: of the service.
        credential: a key or a token, if the document is guarded too.
        fetch: returns what is at a URI, or raises LookupError; for services that are reached, or
            trusted, in another way than most.

    Raises:
        OperationFailed: there is no answer, or it is no Swagger document.
    """
    place = swagger_uri(scoring_uri)
    get = fetch or functools.partial(_fetch, credential=credential)
    try:
        document = json.loads(get(place))
        path = urlsplit(scoring_uri).path.rstrip("/").rpartition("/")[2]
        return _read(document, f"/{path}", is_image=_takes_images(place, f"/{path}", get))
    except urllib.error.HTTPError as error:
        error.close()
        raise _no_document(place, f"{error.code} {error.reason}") from error
    except OSError as error:
        raise _no_document(place, str(getattr(error, "reason", error))) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _no_document(place, "another document") from error


def _fetch(place: str, credential: str | None) -> bytes:
    request = urllib.request.Request(place)  # noqa: S310 - only HTTP passes ascii_uri
    if credential:  # a redirect to elsewhere does not get it
        request.add_unredirected_header("Authorization", f"Bearer {credential}")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310 - as above
        return response.read(_MAX_BYTES)


def _takes_images(place: str, path: str, get: Callable[[str], bytes]) -> bool:
    # Only from version 3 on can a document tell of bodies that are not JSON.
    try:
        document = json.loads(get(f"{place}?version=3"))
        return "application/octet-stream" in _post(document, path)["requestBody"]["content"]
    except urllib.error.HTTPError as error:
        error.close()
        return False  # a service with a document of its own may have version 2 alone
    except LookupError:
        return False


def _post(document: dict[str, Any], path: str) -> dict[str, Any]:
    paths = document["paths"]
    # A prefix of the service's may stand before the path.
    posts = (paths[one]["post"] for one in paths if one.endswith(path) and "post" in paths[one])
    return next(posts, {})


def _read(document: dict[str, Any], path: str, *, is_image: bool) -> Description:
    post = _post(document, path)
    return Description(
        name=str(document["info"]["title"]),
        auth="key" if post.get("security", document.get("security")) else "none",
        is_image=is_image,
        example=_example(document, post),
    )


def _example(document: dict[str, Any], post: dict[str, Any]) -> Any:
    schema = next((one["schema"] for one in post["parameters"] if one["in"] == "body"), {})
    kind, _, name = schema.get("$ref", "").removeprefix("#/").partition("/")
    return (document[kind][name] if name else schema).get("example")


def _no_document(place: str, got: str) -> errors.OperationFailed:
    return errors.OperationFailed(
        "expected the Swagger document of a running service",
        where=place,
        got=got,
        action="Check the address, or describe the service with --example FILE or --image.",
    )
