"""The first request of a service is our own: its contract's sample, before any caller's."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

from calotype import errors
from calotype.serving.exchange import Request
from calotype.serving.refusals import Refusal
from calotype.serving.service import Service

_MOST_TRACE_BYTES: Final = 100_000
_RAISED: Final = (500, 502)  # `run` raised, or its process died


async def warm_up(service: Service, log: Path) -> None:
    """Score the sample of the contract, if there is one.

    What the script refuses, or takes too long for, is its own affair: samples are documentation.

    Raises:
        ScriptFailed: `run` raised or crashed; with what the log says about it.
    """
    contract = service.contract
    if not contract.is_described or "POST" not in service.methods:
        return
    before = log.stat().st_size if log.is_file() else 0
    request = Request(
        headers=[(b"content-type", b"application/json")],
        body=json.dumps(contract.input.get("example")).encode(),
        request_id="warm-up",
        received_s=time.monotonic(),
    )
    try:
        await service.score(request)
    except errors.CallerError:
        return
    except Refusal as refusal:
        if refusal.status not in _RAISED:
            return
        raise errors.ScriptFailed(
            "expected an answer to the sample of the script",
            where="run",
            got=f"{refusal.status}: {refusal.message}",
            action="Mend the script, or the sample in its decorators.",
            trace=_said_since(log, before),
        ) from refusal


def _said_since(log: Path, offset: int) -> str:
    """Return what the script told in the log from `offset` on."""
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(offset)
        lines = file.read(_MOST_TRACE_BYTES).decode("utf-8", "replace").splitlines()
    return "\n".join(filter(None, map(_message, lines)))


def _message(line: str) -> str:
    try:
        told = json.loads(line)
    except ValueError:
        return line
    if not isinstance(told, dict) or told.get("level") != "error":
        return ""
    return str(told.get("trace") or told.get("message") or told.get("event") or "")
