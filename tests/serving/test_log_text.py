"""The log as text: whatever a caller sends stays within its line and its letters."""

from __future__ import annotations

import os

import pytest

from calotype.serving.entry.printing import LogLines
from calotype.serving.exchange import Answer, Request
from calotype.serving.journal import Journal

FORGED = "/\n10:00:00 error: forged\r\x1b[2J\x9b31m\x7f"


@pytest.mark.parametrize("of_script", [False, True])
def test_no_value_forges_a_line_or_reaches_the_terminal(of_script: bool) -> None:
    reading, writing = os.pipe()
    if of_script:
        lines = LogLines(writing, "text")
        lines.request_id = FORGED
        lines.write("info", FORGED)
        lines.close()
    else:
        journal = Journal("text", file_descriptor=writing)
        journal.request(Request(path=FORGED, request_id=FORGED), Answer(), 1.0)
        journal.write(FORGED, fact=FORGED)
        journal.close()
    os.close(writing)
    text = b""
    while part := os.read(reading, 65_536):
        text += part
    os.close(reading)
    shown = text.decode()
    assert shown.count("forged") >= 2
    assert all(one.isprintable() or one == "\n" for one in shown)
    assert not any(line.startswith("10:00:00 error") for line in shown.splitlines())
