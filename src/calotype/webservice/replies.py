"""Requests as `run` sends them, and replies as it returns them."""

from __future__ import annotations

import json
from typing import Any

from calotype.serving.http_client import Reply
from calotype.webservice.exceptions import WebserviceException


def body_of(given: Any) -> tuple[bytes, str]:
    """Return what is sent for an input, and its content type.

    Text is JSON, and so are bytes that can be read as such; other bytes are an image or the like;
    everything else is written as JSON.
    """
    if isinstance(given, str):
        return given.encode(), "application/json"
    if not isinstance(given, bytes | bytearray):
        return json.dumps(given).encode(), "application/json"
    content = bytes(given)
    try:
        json.loads(content)
    except ValueError:
        return content, "application/octet-stream"
    return content, "application/json"


def value_of(reply: Reply, *, service: str) -> Any:
    """Return what a service answered.

    Raises:
        WebserviceException: with status and text of an answer that is not 200.
    """
    text = reply.body.decode("utf-8", "replace")
    if reply.status != 200:
        raise WebserviceException(
            "expected an answer with status 200",
            where=f"service '{service}'",
            got=f"status {reply.status}: {text[:2000]}",
            action=f"`calotype service get-logs -n {service}` shows its log.",
        )
    try:
        return json.loads(text)
    except ValueError:  # a script that answers as it likes
        is_text = reply.headers.get("content-type", "").startswith("text/")
        return text if is_text else reply.body
