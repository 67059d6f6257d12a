"""Lines of a service's log as `get-logs` prints them: in the order of their times, and readable."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from calotype.serving.log_text import line_of

Shown = Literal["auto", "json", "text"]


def in_order(lines: Iterable[str]) -> list[str]:
    """Return lines by their times; a line without one, such as of a trace, stays behind its own.

    A replica writes what its script says at once and what it says itself a moment later, so that
    even the lines of one file are not in order.
    """
    groups: list[tuple[str, list[str]]] = []
    for line in lines:
        time = str(_event(line).get("time", ""))
        if time or not groups:
            groups.append((time, [line]))
        else:
            groups[-1][1].append(line)
    return [line for _, group in sorted(groups, key=lambda one: one[0]) for line in group]


def document_of(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Return lines as JSON has them; what is no event becomes the message of one."""
    return [_event(line) or {"message": line} for line in lines]


def text_of(lines: Sequence[str], shown: Shown) -> str:
    """Return lines as people read them, or as they are stored."""
    if shown == "text" or (shown == "auto" and sys.stdout.isatty()):
        return "".join(_readable(line) for line in lines)
    return "".join(f"{line}\n" for line in lines)


def _readable(line: str) -> str:
    event = _event(line)
    if "time" in event:
        if isinstance(event.get("message"), str):  # a trace ends with a line end
            event["message"] = event["message"].rstrip("\n")
        return line_of({"level": "info", **event})
    return line_of({"time": "", "level": "info", "message": line}).lstrip(" ")


def _event(line: str) -> dict[str, Any]:
    if not line.startswith("{"):
        return {}
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
