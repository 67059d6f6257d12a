"""Reading the JSON body of a request, with the words of refusal that callers know."""

from __future__ import annotations

import json
from typing import Any

import orjson

from calotype.serving.refusals import Refusal, bad_request


def json_object(body: bytes) -> dict[str, Any]:
    """Return the object in a JSON body.

    Raises:
        Refusal: 400, it is empty, no JSON, or no object.
    """
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = _read_slowly(body)
    if type(value) is not dict:
        raise bad_request("POST body should be a JSON dictionary.")
    return value


def _read_slowly(body: bytes) -> Any:
    """Read what the fast reader cannot: UTF-16, a byte order mark, NaN; or say what is wrong."""
    if not body:
        raise bad_request("POST body is empty. Expecting a JSON dictionary.")
    try:
        return json.loads(body)
    except UnicodeDecodeError as error:
        raise bad_request(f"Input cannot be decoded as UTF-8: {error}") from None
    except RecursionError:
        raise bad_request("POST body could not be decoded as JSON: nested too deep.") from None
    except ValueError as error:
        raise bad_request(f"POST body could not be decoded as JSON: {error}") from None


def require_json(content_type: bytes | None) -> None:
    """Let a content type pass that is JSON: `application/json`, `application/*+json`.

    Raises:
        Refusal: 415 for every other one.
    """
    if content_type == b"application/json":
        return
    kind = (content_type or b"").split(b";", 1)[0].strip().lower()
    if kind == b"application/json":
        return
    if kind.startswith(b"application/") and kind.endswith(b"+json"):
        return
    raise Refusal(415, "Expects Content-Type to be application/json")
