"""How `calotype service get-logs` shows lines."""

from __future__ import annotations

import io
import json
import sys

import pytest

from calotype.cli.log_display import document_of, in_order, text_of

START = '{"time": "2026-01-01T10:00:00.100Z", "level": "info", "event": "starting"}'
SAID = '{"time": "2026-01-01T10:00:00.300Z", "level": "info", "message": "hello"}'
REQUEST = '{"time":"2026-01-01T10:00:00.200Z","level":"info","event":"request","status":200}'
TRACE = json.dumps(
    {
        "time": "2026-01-01T10:00:00.400Z",
        "level": "error",
        "pid": 7,
        "message": "Traceback:\n  File\nLookupError: no way\n",
    }
)


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_lines_stand_in_the_order_of_their_times() -> None:
    assert in_order([START, "raw after start", SAID, REQUEST]) == [
        START,
        "raw after start",
        REQUEST,
        SAID,
    ]


def test_a_trace_is_printed_over_several_lines() -> None:
    text = text_of([START, TRACE, "raw \x1b[31m"], "text")
    assert text.splitlines() == [
        "10:00:00 starting",
        "10:00:00 error: Traceback:",
        "    File",
        "  LookupError: no way pid=7",
        "raw \\x1b[31m",
    ]


def test_auto_is_text_in_a_terminal_and_as_stored_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert text_of([START], "auto") == f"{START}\n"
    monkeypatch.setattr(sys, "stdout", Screen())
    assert text_of([START], "auto") == "10:00:00 starting\n"
    assert text_of([START], "json") == f"{START}\n"


def test_json_has_objects_also_for_what_is_no_event() -> None:
    assert document_of([SAID, "raw", "{no json"]) == [
        json.loads(SAID),
        {"message": "raw"},
        {"message": "{no json"},
    ]
