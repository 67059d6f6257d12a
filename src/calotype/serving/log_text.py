"""The log as people at a terminal read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

LogFormat = Literal["json", "text"]

_HIDDEN: Final = {"time", "level", "event", "message"}
_HARMLESS: Final = str.maketrans(
    {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}
)


def line_of(facts: Mapping[str, Any]) -> str:
    """Return one event of the log; what goes over several lines is indented.

    No value can begin a line, nor send a terminal its control characters.

    >>> line_of({"time": "2026-01-01T10:00:00.000Z", "level": "info", "event": "ready"})
    '10:00:00 ready\\n'
    """
    level = "" if facts["level"] == "info" else f"{facts['level']}: "
    said = str(facts.get("event", facts.get("message", "")))
    rest = "".join(f" {key}={value}" for key, value in facts.items() if key not in _HIDDEN)
    text = f"{level}{said}{rest}".translate(_HARMLESS).rstrip("\n").replace("\n", "\n  ")
    return f"{facts['time'][11:19]} {text}\n"
